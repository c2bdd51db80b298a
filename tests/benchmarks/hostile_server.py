"""The attackers' server: pages that are dear to parse, and a provider that is none; prints its port."""

import asyncio
import gzip
from contextlib import suppress

from aiohttp import web

from tests.services.bounded.hostile import PAGES

_MEGABYTE = 2**20
_EVENTS = {"Content-Type": "text/event-stream"}
_BOMB = gzip.compress(b"data: " + b" " * (200 * _MEGABYTE), 1)


async def main() -> None:
    """Serve until the end."""
    app = web.Application()
    app.router.add_get("/page", _page)
    app.router.add_post("/flood/chat/completions", _flood)
    app.router.add_post("/bomb/chat/completions", _bomb)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def _page(_: web.Request) -> web.Response:
    return web.Response(body=PAGES["open tags"], content_type="text/html")


async def _flood(request: web.Request) -> web.StreamResponse:
    """A stream without a newline."""
    response = web.StreamResponse(headers=_EVENTS)
    await response.prepare(request)
    await response.write(b"data: ")
    with suppress(ConnectionError):
        for _ in range(64):
            await response.write(b"x" * _MEGABYTE)
    return response


async def _bomb(_: web.Request) -> web.Response:
    """An answer that unpacks to much more than anybody says."""
    return web.Response(body=_BOMB, headers={**_EVENTS, "Content-Encoding": "gzip"})


if __name__ == "__main__":
    asyncio.run(main())
