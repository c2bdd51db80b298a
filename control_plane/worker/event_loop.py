"""The event loop of a worker: what exits inside of it ends no other turn, and the process ends with its loop."""

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import structlog
import uvloop

from control_plane.worker.watchdog import HUNG

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Seconds that the tasks of a loop get to end, once its main coroutine has ended.
CLOSING_SECONDS = 15.0


class TaskExited(Exception):
    """A task raised `SystemExit` or `KeyboardInterrupt`: some library's or tool's exit, which is not the worker's."""


class _Contained(Coroutine[Any, Any, T]):
    """A coroutine whose exits are errors; an event loop ends with an exit of any of its tasks."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """Go on."""
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as left:
            raise TaskExited(f"{type(left).__name__}: {left}") from left

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None, /) -> Any:
        """Go on with an exception."""
        try:
            return self._coroutine.throw(kind if value is None else value)
        except (SystemExit, KeyboardInterrupt) as left:
            raise TaskExited(f"{type(left).__name__}: {left}") from left

    def close(self) -> None:
        """End it where it is."""
        self._coroutine.close()


def contained(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make a task whose exits are errors: a loop's task factory."""
    return asyncio.Task(_Contained(coroutine), loop=loop, **options)


def run_whole(main: Coroutine[Any, Any, None]) -> None:
    """Run a worker; its process ends at once where the loop ends under it, and soon where the loop does not close.

    The tasks that a dead loop would run once more hold turns which another worker is to go on with.
    """
    ended = threading.Event()
    closing = threading.Timer(CLOSING_SECONDS, partial(_end, "the worker's event loop does not close"))
    closing.daemon = True
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_task_factory(contained)
            try:
                runner.run(_noted(main, ended))
            finally:
                if not ended.is_set():
                    _end("the worker's event loop has ended in the middle of its work")
                closing.start()
    finally:
        closing.cancel()


async def _noted(main: Coroutine[Any, Any, None], ended: threading.Event) -> None:
    try:
        await main
    finally:
        ended.set()


def _end(problem: str) -> NoReturn:
    log.error("worker ends itself", problem=problem, exc_info=sys.exc_info()[0] is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(HUNG)
