"""Work that blocks, in threads of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def in_thread(threads: Executor, work: Callable[[], T]) -> T:
    """Do it in a thread, with the caller's context variables."""
    call: Callable[[], T] = partial(copy_context().run, partial(_unless_it_stops, work))
    return await asyncio.get_running_loop().run_in_executor(threads, call)


def _unless_it_stops(work: Callable[[], T]) -> T:
    """Do it; a `StopIteration`, which no future can hold, is raised as another error."""
    try:
        return work()
    except StopIteration as stop:
        raise RuntimeError(f"it raised StopIteration: {stop}") from stop
