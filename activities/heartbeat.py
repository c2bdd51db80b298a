"""Heartbeats by the clock."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

#: A cancellation comes in a heartbeat's answer, so this is the latency of one.
INTERVAL_SECONDS = 1.0


@asynccontextmanager
async def heartbeating() -> AsyncGenerator[None]:
    """Heartbeat from a task of its own, whatever the body does or waits for."""
    beat = asyncio.create_task(_beat())
    try:
        yield
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat


async def _beat() -> None:
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        activity.heartbeat()
