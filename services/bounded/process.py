"""Work on hostile input: each job has a process of its own, with limits of time and memory, that can be killed."""

import asyncio
import os
import socket
import sys
import weakref
from contextlib import suppress
from typing import Any

import orjson

from services.tools.spec import ToolFailed

#: Jobs at once: more would take the processors and the memory of those who wait for nothing.
JOBS_AT_ONCE = 4
#: Seconds of processor and megabytes that a job has; it may take four times the seconds where processors are busy.
SECONDS = 2
MEMORY_MB = 512
#: Bytes of an answer.
_ANSWER_LIMIT = 32 * 1024 * 1024
_CHUNK = 256 * 1024
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


class WorkUnbounded(Exception):
    """A job has used up its time or its memory."""


class BoundedProcesses:
    """One per process; nothing is started before the first job."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(JOBS_AT_ONCE)
        self._control: socket.socket | None = None
        self._server = 0

    async def run(
        self, job: str, payload: bytes, *, seconds: int = SECONDS, memory_mb: int = MEMORY_MB, **arguments: Any
    ) -> Any:
        """Do one of `services.bounded.jobs`.

        Raises:
            WorkUnbounded: it takes too much time or memory.
            ToolFailed, ValueError: the job says so.
        """
        asked = {"job": job, "seconds": seconds, "memory_mb": memory_mb, "arguments": arguments}
        async with self._slots:
            ours, theirs = socket.socketpair()
            with theirs:
                self._hand_over(theirs)
            answer = await _exchange(ours, orjson.dumps(asked) + b"\n" + payload, 4.0 * seconds + 2)
        if not answer:
            raise WorkUnbounded(f"It takes more than {seconds} s or {memory_mb} MB.")
        return _result(orjson.loads(answer))

    def _hand_over(self, connection: socket.socket) -> None:
        """Give the other end of a job's connection to the process that forks; start that where it is not there."""
        if self._control is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._control, [b"j"], [connection.fileno()])
                return
        self._control = self._started()
        socket.send_fds(self._control, [b"j"], [connection.fileno()])

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        weakref.finalize(self, ours.close)
        with theirs:
            theirs.set_inheritable(True)
            command = (sys.executable, "-I", "-m", "services.bounded.server", str(theirs.fileno()))
            with suppress(ChildProcessError):
                os.waitpid(self._server or os.getpid(), os.WNOHANG)
            self._server = os.posix_spawn(sys.executable, command, _ENVIRONMENT)
        return ours


async def _exchange(ours: socket.socket, asked: bytes, seconds: float) -> bytes:
    """All that a job answers; nothing if it ended without an answer."""
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        async with asyncio.timeout(seconds):
            writer.write(asked)
            writer.write_eof()
            return await _read(reader)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while part := await reader.read(_CHUNK):
        answer += part
        if len(answer) > _ANSWER_LIMIT:
            return b""
    return bytes(answer)


def _result(answer: dict[str, Any]) -> Any:
    if "refused" in answer:
        raise ToolFailed(answer["refused"])
    if "invalid" in answer:
        raise ValueError(answer["invalid"])
    return answer["result"]
