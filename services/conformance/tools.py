"""The functions that agents get while their runtime is checked."""

import asyncio
import os
from pathlib import Path


def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def look(name: str) -> str:
    """Look at something."""
    return f"You looked at {name}."


def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


def note(path: str, line: str) -> str:
    """Append a line to a file that remembers how often it was done."""
    with Path(path).open("a") as ledger:
        ledger.write(f"{line}\n")
        ledger.flush()
        os.fsync(ledger.fileno())
    return f"noted {line}"


async def linger(path: str) -> str:
    """Take very long, and leave word in a file of how it ended."""
    _write(path, "begun")
    try:
        await asyncio.sleep(600)
    finally:
        _write(path, "stopped")
    return "at last"


def wipe(path: str = "/everything") -> str:
    """Wipe a directory."""
    return f"wiped {path}"


def _write(path: str, word: str) -> None:
    Path(path).write_text(word)
