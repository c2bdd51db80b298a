"""A worker's health and metrics over HTTP, for Kubernetes and Prometheus; loopback unless told otherwise."""

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CollectorRegistry

from control_plane.metrics import exposed
from services.listening.sites import runner


class WorkerHealth:
    """`/health/live` answers while the event loop turns, `/health/ready` while the worker takes work.

    A hung SDK core ends the process by itself, see `control_plane.canary`.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        at_work: asyncio.Event,
        draining: asyncio.Event,
        registry: CollectorRegistry,
    ) -> None:
        self._host = host
        self._port = port
        self._at_work = at_work
        self._draining = draining
        self._registry = registry
        app = web.Application()
        routes = {"/health/live": self._live, "/health/ready": self._ready, "/metrics": self._metrics}
        app.add_routes([web.get(path, handler) for path, handler in routes.items()])
        self._runner = runner(app)

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

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = exposed(self._registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _ready(self, _: web.Request) -> web.Response:
        if self._draining.is_set():
            return web.json_response({"status": "draining"}, status=503)
        if not self._at_work.is_set():
            return web.json_response({"status": "starting"}, status=503)
        return web.json_response({"status": "ok"})
