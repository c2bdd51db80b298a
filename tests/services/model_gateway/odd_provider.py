"""A provider that answers with exactly the bytes that a test gives it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(slots=True)
class Odd:
    """`bodies` are what it was sent; every answer is the same. `before` is sent first, then it pauses, in seconds."""

    url: str = ""
    answer: bytes = b""
    content_type: str = EVENTS
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    bodies: list[bytes] = field(default_factory=list[bytes])
    received: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    queries: list[str] = field(default_factory=list[str])
    before: bytes = b""
    pause: float = 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.received.append(request.headers)
        self.queries.append(request.path_qs)
        headers = {"content-type": self.content_type, **self.headers}
        if not self.before:
            return web.Response(body=self.answer, status=self.status, headers=headers)
        response = web.StreamResponse(status=self.status, headers=headers)
        await response.prepare(request)
        await response.write(self.before)
        await asyncio.sleep(self.pause)
        await response.write_eof(self.answer)
        return response


@asynccontextmanager
async def odd_provider() -> AsyncGenerator[Odd]:
    odd = Odd()
    async with served(odd.handle) as odd.url:
        yield odd


@asynccontextmanager
async def served(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    """The address of a provider that answers whatever it is asked."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()
