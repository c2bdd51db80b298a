"""Tools that leave: by an exit, by a task that exits, or with the event loop of their worker."""

import asyncio
import sys

#: What each does to its worker.
LEAVES = ("leave", "leave_in_thread", "leave_below")
ENDS = ("stop_loop", "leave_loop")


async def leave() -> str:
    """Exit."""
    sys.exit(3)


def leave_in_thread() -> str:
    """Exit in a thread."""
    sys.exit(3)


async def leave_below() -> str:
    """Start a task that exits."""
    return await asyncio.create_task(leave())


async def stop_loop() -> str:
    """Stop the event loop."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(600)
    return "done"


async def leave_loop() -> str:
    """Exit outside of every task."""
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(600)
    return "done"
