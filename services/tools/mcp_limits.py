"""The bounds of an MCP server's messages: more than that waits on its side, or is refused."""

import asyncio
import time
from collections.abc import AsyncGenerator

import httpx2

#: Bytes of one message, and of one answer over HTTP, which may hold many.
MESSAGE_LIMIT = 8 * 1024 * 1024
ANSWER_LIMIT = 16 * 1024 * 1024
#: Messages that are taken at once, and in a second afterwards; a long one counts as several.
_BURST = 1000
_RATE = 200
_BYTES_PER_MESSAGE = 64 * 1024


class Pace:
    """Bounds what the worker, which serves others too, does for one server."""

    def __init__(self) -> None:
        self._left = float(_BURST)
        self._seen = time.monotonic()

    async def take(self, size: int) -> None:
        """Count a message, and wait until there is room for it."""
        now = time.monotonic()
        self._left = min(_BURST, self._left + (now - self._seen) * _RATE) - 1 - size / _BYTES_PER_MESSAGE
        self._seen = now
        if self._left < 0:
            await asyncio.sleep(-self._left / _RATE)


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Takes no answer that is packed, and of each no more than there may be."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport
        self._pace = Pace()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = "identity"
        answer = await self._transport.handle_async_request(request)
        packed = answer.headers.get("Content-Encoding", "identity")
        if packed.strip().lower() != "identity":
            await answer.aclose()
            raise httpx2.RemoteProtocolError(f"The server packs its answer ('{packed[:40]}'), which it must not.")
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        stream = _Bounded(answer.stream, self._pace)
        return httpx2.Response(
            answer.status_code, headers=answer.headers.raw, stream=stream, extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, pace: Pace) -> None:
        self._stream = stream
        self._pace = pace

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > ANSWER_LIMIT:
                raise httpx2.ReadError(f"The server's answer is larger than {ANSWER_LIMIT} bytes, which are the most.")
            await self._pace.take(len(chunk) + _BYTES_PER_MESSAGE * chunk.count(b"\n\n"))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
