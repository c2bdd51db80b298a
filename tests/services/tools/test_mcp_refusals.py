"""MCP servers that refuse who asks: the error says which one, and what to set, and nobody tries again."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from runtimes.errors import McpServerRefused
from tests.services.tools.test_mcp import CALL, over_http, url

__all__ = ["url"]

HOP = {"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(slots=True)
class Guard:
    """Stands before a server; `status` is how it refuses whoever has not the key, `asked` how often it was asked."""

    behind: str = ""
    url: str = ""
    key: str = "Bearer right"
    status: int = 401
    asked: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += request.method == "POST"
        if request.headers.get("authorization") != self.key:
            challenge = {"WWW-Authenticate": 'Bearer resource_metadata="https://far.example/meta"'}
            return web.json_response({"error": "invalid_token"}, status=self.status, headers=challenge)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        body = await request.read()
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.request(request.method, self.behind, data=body, headers=headers) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            return response


@asynccontextmanager
async def guarded(behind: str = "http://127.0.0.1:1") -> AsyncGenerator[Guard]:
    guard = Guard(behind)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", guard.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    guard.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    yield guard
    await runner.cleanup()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("headers", "whom"),
    [
        ({}, "refuses a caller without credentials"),
        ({"Authorization": "Bearer wrong"}, "refuses the credentials in the agent's definition"),
    ],
)
async def test_a_server_that_refuses_who_asks_is_named_with_what_to_set(
    tmp_path: Path, status: int, headers: dict[str, str], whom: str
) -> None:
    async with guarded() as guard:
        guard.status = status
        with pytest.raises(McpServerRefused) as raised:
            async with over_http(guard.url, tmp_path).open({"far": {"url": guard.url, "headers": headers}}):
                pass

    error = raised.value.as_error()
    assert error.message.startswith(f"MCP server 'far' {whom} ({status}).")
    assert "https://far.example/meta" in error.message
    assert "wrong" not in error.message
    assert "headers of 'far' in the agent's toolset mcp" in error.hint
    assert (error.code, error.retryable, guard.asked) == ("mcp_server_refused", False, 1)


async def test_a_server_that_refuses_in_the_middle_of_a_turn_is_named_too(url: str, tmp_path: Path) -> None:
    async with guarded(url) as guard:
        wanted = {"far": {"url": guard.url, "headers": {"Authorization": guard.key}, "only": ["add"]}}
        async with over_http(guard.url, tmp_path).open(wanted) as (add,):
            before = await add.handler({"first": 2, "second": 3}, CALL)
            guard.key = "Bearer another"
            with pytest.raises(McpServerRefused, match="'far' refuses the credentials"):
                await add.handler({"first": 2, "second": 3}, CALL)

    assert before == "5"
