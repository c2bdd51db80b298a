"""Functions that the test stack's workers may serve as tools."""

from pathlib import Path


def append_line(path: str, line: str) -> str:
    """Append a line to a file: an effect that can be counted."""
    with Path(path).open("a") as ledger:
        ledger.write(line + "\n")
    return f"wrote {line}"


def fail(reason: str) -> str:
    """Fail with a reason."""
    raise ValueError(reason)
