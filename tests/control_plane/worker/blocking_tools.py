"""Tools that hold a worker's event loop: one lets other threads run meanwhile, one holds the interpreter too."""

import ctypes
import time


async def block(seconds: int) -> str:
    """Block the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251  the fault that is meant
    return "done"


async def hold(seconds: int) -> str:
    """Block the event loop and every other thread, as a library in native code can."""
    ctypes.PyDLL(None).sleep(seconds)
    return "done"
