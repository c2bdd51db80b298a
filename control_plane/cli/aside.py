"""A file for the output of frameworks while a runtime is checked: it does not come between our own lines."""

import os
import re
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from control_plane.cli.output import Output, Printer


@dataclass(frozen=True)
class Aside:
    """Our own output, and the file that has all other."""

    printer: Printer
    file: Path

    @property
    def written(self) -> str:
        """The file's path if anything is in it, else nothing."""
        sys.stdout.flush()
        sys.stderr.flush()
        return str(self.file) if self.file.stat().st_size else ""


@contextmanager
def output_aside(output: Output, name: str) -> Generator[Aside]:
    """Lead what this process and its children write into a file; it stays if there is anything in it."""
    prefix = f"holdfast-check-{re.sub(r'[^a-z0-9_-]', '', name)}-"
    descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=".log")
    with ExitStack() as restored:
        restored.callback(_remove_empty, Path(path))
        restored.callback(os.close, descriptor)
        out, err = (restored.enter_context(_led_to(descriptor, stream)) for stream in (sys.stdout, sys.stderr))
        yield Aside(Printer(output, out=out, err=err), Path(path))


@contextmanager
def _led_to(descriptor: int, stream: TextIO) -> Generator[TextIO]:
    """Lead a stream's descriptor elsewhere; gives a stream to where it led before."""
    stream.flush()
    number = stream.fileno()
    kept = os.dup(number)
    os.dup2(descriptor, number)
    try:
        with open(os.dup(kept), "w", encoding=stream.encoding, errors=stream.errors, buffering=1) as own:
            yield own
    finally:
        stream.flush()
        os.dup2(kept, number)
        os.close(kept)


def _remove_empty(path: Path) -> None:
    with suppress(OSError):
        if not path.stat().st_size:
            path.unlink()
