"""Definitions of agents and templates: from a file, from options, or from both."""

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from control_plane.cli.failures import usage_error
from control_plane.cli.files import name_of, read_json

FileOption = Annotated[Path | None, typer.Option("--file", "-f", help="Definition as JSON; - reads it from stdin.")]


def definition(file: Path | None, options: dict[str, Any]) -> dict[str, Any]:
    """What the file says, with what the options say in its place; None is an option that was not given.

    Raises:
        CliError: the file is no JSON object.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return (_read(file) if file else {}) | given


def _read(file: Path) -> dict[str, Any]:
    found = read_json(file)
    if not isinstance(found, dict):
        raise usage_error(f"{name_of(file)} holds no JSON object.")
    return cast("dict[str, Any]", found)
