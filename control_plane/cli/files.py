"""Files that a command line names: read whole, or refused with the reason."""

import json
import sys
from pathlib import Path
from typing import Any

from control_plane.cli.failures import CliError, ExitCode, usage_error
from runtimes.json_text import find_fault


def read_text(file: Path) -> str:
    """The text of a file, or of stdin where it is called `-`; a byte order mark is no part of it.

    Raises:
        CliError: it cannot be read, or is no UTF-8.
    """
    return _decoded(file, _read(file))


def read_json(file: Path) -> Any:
    """What a file holds, by the rules of the API's bodies.

    Raises:
        CliError: it cannot be read, or is no JSON that the API takes.
    """
    text = read_text(file)
    if (fault := find_fault(text.encode())) is not None:
        place = f" (at {fault.field})" if fault.field else ""
        detail = f"{name_of(file)} cannot be read as JSON: {fault.detail}{place}"
        raise CliError(detail, exit_code=ExitCode.USAGE, code=fault.code)
    return json.loads(text)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise usage_error(f"{name_of(file)} cannot be read: {error.strerror}.") from None


def _decoded(file: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage_error(f"{name_of(file)} cannot be read: byte {error.start} is no UTF-8.") from None


def name_of(file: Path) -> str:
    """The file as messages call it."""
    return "stdin" if str(file) == "-" else str(file)
