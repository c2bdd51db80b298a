"""The witness of side effects: a tool that writes a line per effect, and never asks whether it did so before.

Workers import this module as tools; it imports nothing of ours.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOLSET = {"type": "python", "functions": ["tests.faults.ledger:ledger_append"]}


async def ledger_append(ledger: str, line: str, seconds: float = 0, reason: str = "", idempotency_key: str = "") -> str:
    """Append a line to the ledger, after so many seconds, for whatever reason."""
    _write(Path(f"{ledger}.begun"), line, idempotency_key)
    await asyncio.sleep(seconds)
    _write(Path(ledger), line, idempotency_key)
    return f"wrote {line}"


def _write(path: Path, line: str, key: str) -> None:
    entry = json.dumps({"line": line, "key": key, "pid": os.getpid()}) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, entry.encode())
        os.fsync(file)
    finally:
        os.close(file)


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the tools wrote, read by the tests."""

    path: Path

    def lines(self, contains: str = "") -> list[str]:
        """The effects that were done, in order."""
        return [entry["line"] for entry in _entries(self.path) if contains in entry["line"]]

    def begun(self, contains: str = "") -> list[str]:
        """The effects that were begun, in order."""
        return [entry["line"] for entry in _entries(Path(f"{self.path}.begun")) if contains in entry["line"]]

    def keys(self, contains: str) -> list[str]:
        """The idempotency keys of the effects that were done, in order."""
        return [entry["key"] for entry in _entries(self.path) if contains in entry["line"]]

    def call(self, line: str, seconds: float = 0) -> str:
        """A direction to the scripted model to have a line written."""
        arguments = {"ledger": str(self.path), "line": line, "reason": "~"} | ({"seconds": seconds} if seconds else {})
        return f"tool ledger_append {json.dumps(arguments)}"


def _entries(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(entry) for entry in path.read_text().splitlines()]
