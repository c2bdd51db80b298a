"""Clients that take their time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def seconds_until_closed(port: int, first: bytes, drop: bytes = b"", *, every: float = 0.1) -> float:
    """Measure how long a server bears a client that sends something, and then a drop now and again."""
    async with connected(port) as (reader, writer):
        began = monotonic()
        writer.write(first)
        while True:
            try:
                async with asyncio.timeout(every):
                    if not await reader.read(2**16):
                        return monotonic() - began
            except TimeoutError:
                writer.write(drop)
            except ConnectionError:
                return monotonic() - began
