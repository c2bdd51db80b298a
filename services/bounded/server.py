"""The process that makes processes for jobs: each is a copy of it that has one job, limits, and nothing of another."""

import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn

import orjson

from services.bounded.jobs import JOBS
from services.tools.spec import ToolFailed

_MEGABYTE = 1_000_000
#: Lower than anything that serves: a job takes only what is left of the processors.
_NICE = 15
_CHUNK = 1024 * 1024


def main() -> NoReturn:
    """Take jobs from the socket whose descriptor is the first argument, until its other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            _serve(socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def _serve(connection: socket.socket) -> NoReturn:
    """Do one job; one that breaks a limit ends without an answer."""
    with suppress(MemoryError, RecursionError, OSError):
        head, _, payload = _received(connection).partition(b"\n")
        connection.sendall(orjson.dumps(_answer(orjson.loads(head), payload)))
    os._exit(0)


def _answer(asked: dict[str, Any], payload: bytes) -> dict[str, Any]:
    _bound(asked["seconds"], asked["memory_mb"])
    try:
        return {"result": JOBS[asked["job"]](payload, **asked["arguments"])}
    except ToolFailed as error:
        return {"refused": str(error)}
    except ValueError as error:
        return {"invalid": str(error)[:1000]}


def _bound(seconds: int, memory_mb: int) -> None:
    os.nice(_NICE)
    # What a library says as it runs out of memory is nobody's log.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(4 * seconds)
    for kind, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory_mb * _MEGABYTE),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _received(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    while part := connection.recv(_CHUNK):
        parts.append(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
