"""What is printed: data on stdout, everything else on stderr."""

import io
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO, cast

from control_plane.cli.failures import CliError, ExitCode

#: Escape sequences, control characters and the marks that turn the direction of text.
UNSAFE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
#: Wide enough for any row: nothing is cut where no person looks.
UNLIMITED = 100_000


class Output(StrEnum):
    """Forms of the data on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Printer:
    """Writes one command's data and messages in the form that was asked for."""

    def __init__(self, output: Output, *, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.output = output
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self.out_is_terminal = self._out.isatty()
        self._styled = styles_allowed(self._err)

    def text(self, text: str) -> None:
        """Text for stdout as it comes; on a terminal without what could steer the terminal."""
        self._put(printable(text) if self.out_is_terminal else text)

    def note(self, text: str) -> None:
        """A message on stderr, dim where that is possible."""
        safe = printable(text)
        self._err.write(f"\x1b[2m{safe}\x1b[0m\n" if self._styled else f"{safe}\n")
        self._err.flush()

    def warnings(self, document: Mapping[str, Any]) -> None:
        """The warnings that came with an answer."""
        warnings: list[str | dict[str, str]] = document.get("warnings") or []
        for warning in warnings:
            self.note(f"Warning: {_notice(warning)}")

    def document(self, value: Any) -> None:
        """One JSON value on stdout: on one line for jsonl."""
        indent = 2 if self.output is Output.JSON else None
        self._put(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")

    def record(self, record: Mapping[str, Any], columns: Sequence[str] | None = None) -> None:
        """One object: as JSON, or as a table of names and values."""
        if self.output is not Output.TABLE:
            self.document(record)
            return
        names = columns or list(record)
        self._table(("name", "value"), [(name, cell(record.get(name))) for name in names], headed=False)

    def page(self, page: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        """A list with a cursor; `columns` maps headings to keys."""
        items: list[dict[str, Any]] = list(page["items"])
        if self.output is Output.JSON:
            self.document(page)
        elif self.output is Output.JSONL:
            for item in items:
                self.document(item)
        else:
            self.table(items, columns)
        if (cursor := page.get("next_cursor")) and self.output is not Output.JSON:
            self.note(f"There are more: --cursor {cursor}")

    def table(self, items: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        """Rows under headings."""
        rows = [[cell(item.get(key)) for key in columns.values()] for item in items]
        if rows:
            self._table(tuple(columns), rows)
        else:
            self.note("Nothing found.")

    def _table(self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, headed: bool = True) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        plain = not styles_allowed(self._out)
        table = Table(box=None, show_header=headed, pad_edge=False, header_style="bold")
        for heading in headings:
            table.add_column(heading, no_wrap=not self.out_is_terminal or heading == "ID", overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(value)) for value in row))
        width = None if self.out_is_terminal else UNLIMITED
        drawn = io.StringIO()
        color_system = None if plain else "auto"
        Console(file=drawn, force_terminal=not plain, color_system=color_system, width=width).print(table)
        self._put("".join(f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines()))

    def _put(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise CliError(
                f"The output cannot be written: {error.strerror}.", exit_code=ExitCode.FAILED, code="output_failed"
            ) from error


def styles_allowed(stream: TextIO) -> bool:
    """Whether colour and the like may be written to the stream."""
    off = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not off


def printable(text: str) -> str:
    """The text without what could steer a terminal."""
    return UNSAFE.sub("", text)


def visible(text: str) -> str:
    """The text with what cannot be seen, or turns what can, written as codes: what is approved has to be read."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(cell, cast("list[Any]", value))) or "-"
    return as_text(value)


def _notice(warning: str | dict[str, str]) -> str:
    if isinstance(warning, str):
        return warning
    return f"{warning['message']} {warning.get('hint', '')}".rstrip()


def ago(moment: str | None, now: datetime | None = None) -> str:
    """How long ago an ISO time was: `12 s ago`; the date itself when that is more than a week."""
    if not moment:
        return "-"
    then = datetime.fromisoformat(moment)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago" if seconds < 7 * 86400 else then.date().isoformat()
    return f"{max(seconds, 0):.0f} s ago"


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def shortened(text: str, length: int = 200) -> str:
    """One line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
