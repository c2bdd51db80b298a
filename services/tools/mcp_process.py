"""An MCP server as a process in the sandbox: a transport for the SDK's session, whose end leaves nothing running."""

import asyncio
import os
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from runtimes.sandbox.command_line import Room
from runtimes.sandbox.process import end, start, told, watch
from services.tools.mcp_sdk import ServerError, message_of

#: Seconds that a server gets to end by itself, after nobody listens any more.
_GRACE = 1.0
#: Bytes of one message, and bytes that are told of what it said on stderr.
_MESSAGE_LIMIT = 16 * 1024 * 1024
_SAID = 500

Heard = MemoryObjectReceiveStream[SessionMessage | Exception]
Said = MemoryObjectSendStream[SessionMessage]


@asynccontextmanager
async def as_process(command: Sequence[str], room: Room) -> AsyncGenerator[tuple[Heard, Said]]:
    """Start the server; an error gets a note: which limit it broke, and the end of what it said on stderr."""
    with tempfile.TemporaryFile() as said:
        process = await start(command, room, stdin=PIPE, stdout=PIPE, stderr=said, limit=_MESSAGE_LIMIT)
        hears, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        says, saying = anyio.create_memory_object_stream[SessionMessage](0)
        watching = asyncio.create_task(watch(process, room.limits))
        tasks = [watching, asyncio.create_task(_hear(process, hears)), asyncio.create_task(_say(process, saying))]
        try:
            with hears, heard, says, saying:
                yield heard, says
                await _let_end(process)
        except (ServerError, ExceptionGroup) as error:
            error.add_note(f"{told(watching)} {_end_of(said.fileno())}".strip())
            raise
        finally:
            for task in tasks:
                task.cancel()
            await end(process)


async def _hear(process: Process, hears: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
    """One message a line; what is none is for the session to judge. With the server's output ends the session."""
    with hears, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError):
        while process.stdout is not None and (line := await process.stdout.readline()):
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


def _end_of(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, _SAID, max(size - _SAID, 0)).decode(errors="replace").strip()
