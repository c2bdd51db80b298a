"""Definitions of agents and templates: from a file, from options, or from both."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from control_plane.cli.failures import usage_error

FileOption = Annotated[Path | None, typer.Option("--file", "-f", help="Definition as JSON; - reads it from stdin.")]


def definition(file: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """What the file says, with what the options say in its place; None is an option that was not given.

    Raises:
        CliError: the file is no JSON object.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return (_read(file) if file else {}) | given


def _read(file: Path) -> dict[str, Any]:
    place = "stdin" if str(file) == "-" else str(file)
    try:
        found = json.loads(sys.stdin.read() if place == "stdin" else file.read_text())
    except (OSError, ValueError) as error:
        raise usage_error(f"{place} cannot be read as JSON: {error}.") from error
    if not isinstance(found, dict):
        raise usage_error(f"{place} holds no JSON object.")
    return found  # pyright: ignore[reportUnknownVariableType]
