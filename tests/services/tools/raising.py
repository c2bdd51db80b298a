"""Functions that raise what no tool should."""

import asyncio
import sys
from concurrent.futures import CancelledError
from typing import NoReturn


class Quiet(BaseException):
    """Told to nobody that catches exceptions only."""


#: What a function may raise, by name, and what the model reads of it.
RAISED: dict[str, BaseException] = {
    "base": Quiet("so"),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator_exit": GeneratorExit(),
    "stop": StopIteration("so"),
    "stop_async": StopAsyncIteration("so"),
    "cancelled": asyncio.CancelledError(),
    "cancelled_future": CancelledError(),
    "group": BaseExceptionGroup("all", [asyncio.CancelledError(), SystemExit(3), ValueError("so")]),
}


def throw(kind: str) -> str:
    """Raise it in a thread."""
    raise RAISED[kind]


async def throw_async(kind: str) -> str:
    """Raise it on the event loop."""
    await asyncio.sleep(0)
    raise RAISED[kind]


async def throw_below(kind: str) -> str:
    """Raise it in a task that the function starts."""
    return await asyncio.create_task(throw_async(kind))


async def cancel_below() -> str:
    """Wait for a task that is cancelled."""
    waiting = asyncio.create_task(asyncio.sleep(60, "rested"))
    asyncio.get_running_loop().call_later(0.01, waiting.cancel)
    return await waiting


async def cancel_itself() -> str:
    """Cancel the task that it runs in."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)
    return "rested"


async def leave_when_cancelled() -> NoReturn:
    """Answer a cancellation with an exit."""
    try:
        await asyncio.sleep(60)
    finally:
        sys.exit(3)
