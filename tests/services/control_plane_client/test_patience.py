"""How long a worker tries to reach a control plane that is away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from runtimes.errors import ControlPlaneUnavailable
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AppendEvents, AttemptEnd, CloseAttempt

#: Answers of 503 before the control plane is back; some 2.5 s.
REFUSALS = 5


@asynccontextmanager
async def _client() -> AsyncGenerator[ControlPlaneClient]:
    refused: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        refused.append(request.path)
        return web.json_response({}, status=503 if len(refused) <= REFUSALS else 200)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server, ClientSession(server.make_url("/")) as session:
        yield ControlPlaneClient(session, patience=0.5, holds_for=30.0)


async def test_what_an_attempt_has_done_is_held_longer_than_a_question() -> None:
    async with _client() as client:
        with pytest.raises(ControlPlaneUnavailable):
            await client.close("e", 1, CloseAttempt(organization_id="o", batch=1, end=AttemptEnd.COMPLETED))

    async with _client() as client:
        await client.append("e", 1, AppendEvents(organization_id="o", batch=1))
