"""An MCP server as a process in the sandbox: a transport for the SDK's session, whose end leaves nothing running."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from runtimes.sandbox.command_line import Room
from runtimes.sandbox.process import end, start, told, undisturbed, watch
from services.tools.mcp_limits import MESSAGE_LIMIT, Pace
from services.tools.mcp_sdk import ServerError, message_of

#: Seconds that a server gets to end by itself, after nobody listens any more.
_GRACE = 1.0
#: Bytes that are told of what it said on stderr.
_SAID = 500
_CHUNK = 64 * 1024
#: Seconds that the last of it may take to come, after the messages have ended.
_LISTEN = 0.5

Heard = MemoryObjectReceiveStream[SessionMessage | Exception]
Said = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def as_process(command: Sequence[str], room: Room) -> AsyncGenerator[tuple[Heard, Said]]:
    """Start the server; an error gets a note: which limit it broke, and the end of what it said on stderr."""
    process = await start(command, room, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=MESSAGE_LIMIT)
    hears, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    says, saying = anyio.create_memory_object_stream[SessionMessage](0)
    watching, stderr = asyncio.create_task(watch(process, room)), _Stderr()
    listening = asyncio.create_task(stderr.listen(process))
    tasks: list[asyncio.Task[Any]] = [
        watching,
        listening,
        *map(asyncio.create_task, (_hear(process, hears), _say(process, saying))),
    ]
    try:
        with hears, heard, says, saying:
            yield heard, says
            await _let_end(process)
    except (ServerError, ExceptionGroup) as error:
        await asyncio.wait({listening}, timeout=_LISTEN)
        error.add_note(f"{told(watching)} {stderr.said}".strip())
        raise
    finally:
        await undisturbed(_end(process, tasks))


async def _end(process: Process, tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """End the server, and read what is left of what it said: a pipe is closed when it was read to its end."""
    for task in tasks:
        task.cancel()
    await end(process)
    await asyncio.wait(tasks)
    for stream in (process.stdout, process.stderr):
        while stream is not None and await stream.read(_CHUNK):
            pass


class _Stderr:
    """Hears what a server says beside its messages, and keeps the end of it."""

    def __init__(self) -> None:
        self._tail = b""

    @property
    def said(self) -> str:
        """The end of what was heard."""
        return self._tail.decode(errors="replace").strip()

    async def listen(self, process: Process) -> None:
        """Hear until the server ends."""
        while process.stderr is not None and (data := await process.stderr.read(_CHUNK)):
            self._tail = (self._tail + data)[-_SAID:]


async def _hear(process: Process, hears: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    """One message a line; what is none is for the session to judge. With the server's output ends the session."""
    pace = Pace()
    with hears, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError):
        while process.stdout is not None and (line := await process.stdout.readline()):
            await pace.take(len(line))
            await hears.send(_message(line))


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return message_of(line)
    except ValueError as error:
        return error


async def _say(process: Process, saying: MemoryObjectReceiveStream[SessionMessage]) -> None:
    with suppress(OSError, anyio.ClosedResourceError):
        async for message in saying:
            if process.stdin is not None:
                written = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(written.encode() + b"\n")
                await process.stdin.drain()


async def _let_end(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _GRACE)
