"""Every server that Holdfast starts, and clients that never finish their request."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from control_plane.local.web_ui_guard import web_ui_guard
from control_plane.worker.health import WorkerHealth
from services.listening.deadlines import HEAD_SECONDS, IDLE_SECONDS
from services.model_gateway.server import ModelGateway
from services.providers import ProviderRegistry
from tests.services.listening.clients import REQUEST, seconds_until_closed
from tests.stack import Stack, free_port


@pytest.fixture
async def ports(stack: Stack) -> AsyncGenerator[dict[str, int]]:
    health, guard, gateway = free_port(), free_port(), ModelGateway(ProviderRegistry([]))
    async with AsyncExitStack() as open_until_the_end:
        served = WorkerHealth("127.0.0.1", health, asyncio.Event(), asyncio.Event(), CollectorRegistry())
        await open_until_the_end.enter_async_context(served)
        await open_until_the_end.enter_async_context(web_ui_guard(guard, free_port()))
        await gateway.start()
        open_until_the_end.push_async_callback(gateway.close)
        urls = {"api": stack.api_url, "model": stack.model_url, "gateway": gateway._url}  # pyright: ignore[reportPrivateUsage]
        found = {name: urlsplit(url).port or 0 for name, url in urls.items()}
        yield found | {"health": health, "guard": guard}


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", b""), (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"), (REQUEST + b"GET /", b"x")],
    ids=["silence", "a dripping head", "a dripping second head"],
)
async def test_every_listener_closes_connections_that_ask_nothing(
    ports: dict[str, int], first: bytes, drop: bytes
) -> None:
    async with asyncio.timeout(IDLE_SECONDS + 15):
        waits = await asyncio.gather(*(seconds_until_closed(port, first, drop, every=1) for port in ports.values()))

    for name, seconds in zip(ports, waits, strict=True):
        assert HEAD_SECONDS - 1 < seconds < (IDLE_SECONDS if name == "gateway" else HEAD_SECONDS) + 5, name
