"""A web site on loopback that counts who comes."""

import asyncio
import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

PAGE = """<!doctype html><html><head><title>T</title><style>x{}</style><script>evil()</script></head>
<body><h1>Prices</h1><p>One <b>apple</b> costs <a href="/more">2&nbsp;€</a>.</p></body></html>"""
#: Bodies, with their types and encodings.
ANSWERS = {
    "page": (PAGE.encode(), "text/html", ""),
    "json": (b'{"a": 1}', "application/json", ""),
    "image": (b"\x89PNG", "image/png", ""),
    "large": (b"x" * 6_000_000, "text/plain", ""),
    "bomb": (gzip.compress(bytes(50_000_000)), "text/plain", "gzip"),
    "packed": (gzip.compress(b"small"), "text/plain", "gzip"),
    "unknown": (b"?", "text/plain", "br"),
    "broken": (b"no gzip", "text/plain", "gzip"),
    "deep": (b"<html>" + b"<div>" * 50_000 + b"deep", "text/html", ""),
}


@dataclass
class Site:
    """`visits` are the paths that were asked for, `headers` those of the last request."""

    port: int = 0
    visits: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def place(self) -> str:
        """What an operator allows."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        """The URL of one of its pages."""
        return f"http://{self.place}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as the path says."""
        self.visits.append(request.path)
        self.headers = dict(request.headers)
        page, _, rest = request.path.strip("/").partition("/")
        if page == "slow":
            await asyncio.sleep(30)
        if page == "to":
            return web.Response(status=302, headers={"Location": rest, "Set-Cookie": "a=b"})
        body, kind, encoding = ANSWERS.get(page, (b"nothing here", "text/plain", ""))
        headers = {"Content-Encoding": encoding} if encoding else {}
        return web.Response(body=body, content_type=kind, headers=headers, status=200 if page in ANSWERS else 404)


@asynccontextmanager
async def web_site() -> AsyncGenerator[Site]:
    """A site, until this ends."""
    site = Site()
    app = web.Application()
    app.router.add_get("/{path:.*}", site.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()
