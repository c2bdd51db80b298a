"""The Claude Code CLI as a process: what the SDK's client reads and writes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from claude_agent_sdk import ProcessError, Transport

from runtimes.sandbox.command_line import Room
from runtimes.sandbox.process import end, start, told, watch
from runtimes.sandbox.process_tree import kill_children

#: One message of the CLI is one line; tool results and files are in it.
_MOST_LINE = 64 * 2**20
_STDERR_KEPT = 2000


class CliProcess(Transport):
    """Ends by SIGKILL: what the CLI knows is in its transcript, which was kept on the way."""

    def __init__(self, command: Sequence[str], room: Room) -> None:
        self._command = command
        self._room = room
        self._process: asyncio.subprocess.Process | None = None
        self._errors = ""
        self._listening: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[str] | None = None

    async def connect(self) -> None:
        """Start the process in its room."""
        pipe = asyncio.subprocess.PIPE
        self._process = await start(self._command, self._room, stdin=pipe, stdout=pipe, stderr=pipe, limit=_MOST_LINE)
        self._listening = asyncio.ensure_future(self._listen(self._process))
        self._watching = asyncio.ensure_future(watch(self._process, self._room))

    def is_ready(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def write(self, data: str) -> None:
        """Write one message."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data.encode())
        await self._process.stdin.drain()

    async def read_messages(self) -> AsyncGenerator[dict[str, Any]]:
        """All messages until the process ends.

        Raises:
            ProcessError: it did not end well; says what it wrote to stderr.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if line.startswith(b"{"):
                yield json.loads(line)
        if await self._process.wait() != 0:
            await asyncio.wait([self._listening] if self._listening else [], timeout=1)
            said = f"{self._stopped()} {self._errors}".strip()
            raise ProcessError("The Claude Code CLI ended", self._process.returncode, said)

    async def end_input(self) -> None:
        """Nothing is written any more."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process and all that it started, at once; may be called at any time."""
        if self._process is not None and self._process.returncode is None:
            kill_children(self._process.pid)

    async def close(self) -> None:
        """End the process and wait until it is gone."""
        if self._watching is not None:
            self._watching.cancel()
        if self._process is not None:
            await end(self._process)
        if self._listening is not None:
            await self._listening

    def _stopped(self) -> str:
        """Name the limit that ended it, if one did."""
        return told(self._watching) if self._watching is not None else ""

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while piece := await process.stderr.read(_STDERR_KEPT):
            self._errors = (self._errors + piece.decode(errors="replace"))[-_STDERR_KEPT:]
