"""A worker's health over HTTP, for the probes of Kubernetes; loopback unless told otherwise."""

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web


class WorkerHealth:
    """`/health/live` answers while the event loop turns, `/health/ready` while the worker takes work.

    A hung SDK core ends the process by itself, see `control_plane.canary`.
    """

    def __init__(self, host: str, port: int | None, at_work: asyncio.Event, draining: asyncio.Event) -> None:
        self._host = host
        self._port = port
        self._at_work = at_work
        self._draining = draining
        app = web.Application()
        app.add_routes([web.get("/health/live", self._live), web.get("/health/ready", self._ready)])
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        if self._port is not None:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        if self._draining.is_set():
            return web.json_response({"status": "draining"}, status=503)
        if not self._at_work.is_set():
            return web.json_response({"status": "starting"}, status=503)
        return web.json_response({"status": "ok"})
