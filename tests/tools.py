"""Functions that the test stack's workers may serve as tools."""

import asyncio
import os
from pathlib import Path
from typing import Any


def append_line(path: str, line: str) -> str:
    """Append a line to a file: an effect that can be counted."""
    with Path(path).open("a") as ledger:
        ledger.write(line + "\n")
    return f"wrote {line}"


def fail(reason: str) -> str:
    """Fail with a reason."""
    raise ValueError(reason)


async def append_and_linger(path: str, line: str) -> str:
    """Append a line to a file; the first time, nothing comes of it for very long."""
    lingers = not Path(path).exists()
    append_line(path, line)
    if lingers:
        await asyncio.sleep(600)
    return f"wrote {line}"


def variables() -> str:
    """What the worker's own code finds in its environment."""
    return "\n".join(f"{name}={value}" for name, value in os.environ.items())


def take(value: Any) -> str:
    """Take a value of any kind."""
    return f"took a {type(value).__name__}"
