"""Stands before Temporal's Web UI, which answers any web page, and lets only its own pages through."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from control_plane.local.child import PortTaken
from control_plane.local.ports import LOOPBACK
from services.listening.sites import runner, whole_body
from services.loopback_guard import refusal

#: Headers that belong to one connection, not to what is passed on.
OF_THE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"}
)
LONGEST_BODY = 16 * 1024 * 1024


@asynccontextmanager
async def web_ui_guard(port: int, hidden: int) -> AsyncGenerator[None]:
    """Serve at a port what the Web UI says at its hidden one.

    Raises:
        PortTaken: another program has the port.
    """
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        app = web.Application(client_max_size=LONGEST_BODY)
        app.router.add_route("*", "/{path:.*}", _Guard(session, f"http://{LOOPBACK}:{hidden}").handle)
        serving = runner(app)
        await serving.setup()
        try:
            await web.TCPSite(serving, LOOPBACK, port).start()
        except OSError as error:
            await serving.cleanup()
            raise PortTaken(f"The guard of Temporal's Web UI cannot listen at port {port}: {error}.") from error
        try:
            yield
        finally:
            await serving.cleanup()


class _Guard:
    def __init__(self, session: aiohttp.ClientSession, behind: str) -> None:
        self._session = session
        self._behind = behind

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, unless another origin's page sent it."""
        if (why := refusal(request.method, request.headers)) is not None:
            return web.Response(status=403, text=f"{why}\n")
        body = await whole_body(request) if request.can_read_body else None
        try:
            return await self._passed_on(request, body)
        except aiohttp.ClientError:
            return web.Response(status=502, text="Temporal's Web UI does not answer now.\n")

    async def _passed_on(self, request: web.Request, body: bytes | None) -> web.StreamResponse:
        async with self._session.request(
            request.method,
            f"{self._behind}{request.raw_path}",
            headers=_kept(request.headers),
            data=body,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in OF_THE_CONNECTION)
