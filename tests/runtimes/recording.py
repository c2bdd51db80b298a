"""A model that answers what it was asked before out of its record, as the model gateway does for a turn run again."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from runtimes.types import ModelEndpoint
from services.journal import canonical_hash, without_volatile


@dataclass(slots=True)
class Recording:
    """`asked` are the hashes of all requests in order; `made` counts those that the record did not answer."""

    endpoint: ModelEndpoint
    asked: list[str] = field(default_factory=list[str])
    made: int = 0
    _answers: dict[str, tuple[str, bytes]] = field(default_factory=dict[str, tuple[str, bytes]])

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        asked = canonical_hash(request.path, without_volatile(body))
        self.asked.append(asked)
        if asked not in self._answers:
            self.made += 1
            url = f"{self.endpoint.base_url.removesuffix('/v1')}{request.path}"
            async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
                self._answers[asked] = (answer.content_type, await answer.read())
        kind, content = self._answers[asked]
        return web.Response(body=content, content_type=kind)


@asynccontextmanager
async def recording(endpoint: ModelEndpoint) -> AsyncGenerator[tuple[Recording, ModelEndpoint]]:
    """A recording of the endpoint, and the endpoint under which it is served."""
    record = Recording(endpoint)
    app = web.Application()
    app.router.add_post("/{path:.*}", record.answer)
    async with TestServer(app) as server:
        base = str(server.make_url("/")).rstrip("/")
        path = "/v1" if endpoint.base_url.endswith("/v1") else ""
        yield record, replace(endpoint, base_url=f"{base}{path}")
