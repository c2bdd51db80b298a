"""Answers of servers that a tenant has chosen: pages and MCP servers; the others are served meanwhile."""

import asyncio
import gzip
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from runtimes.errors import McpServerFailed, ToolsetInvalid
from services.egress import Egress
from services.sandbox.sandbox import Sandbox
from services.tools.mcp_limits import Pace
from services.tools.place import TurnPlace
from services.tools.spec import Call, ToolFailed, ToolSpec
from services.tools.toolsets import Toolsets
from tests.architecture.source import ROOT
from tests.services.bounded.hostile import PAGES, doubled
from tests.services.tools.desks import tools_of

CALL = Call("c", "k")
#: Seconds for which the event loop may be held, on a busy machine.
HELD = 0.5
FLOOD = """
import sys
line = '{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}\\n'
while True:
    sys.stdout.write(line * 1000)
"""
LOUD = """
import sys
while True:
    sys.stderr.write("x" * 100000)
"""

Served = Callable[[bytes, dict[str, str]], Awaitable[str]]


async def slowest_while(work: "asyncio.Future[Any]") -> float:
    """The longest time for which nobody else was served until the work was done."""
    slowest = 0.0
    while not work.done():
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        slowest = max(slowest, time.perf_counter() - began)
    return slowest


@pytest.fixture
async def served() -> AsyncGenerator[Served]:
    """Serves one answer to everything."""
    runners: list[web.AppRunner] = []

    async def serve(body: bytes, headers: dict[str, str]) -> str:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body, headers=headers)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_that_is_dear_to_parse_holds_nobody_up(served: Served, name: str) -> None:
    place = await served(PAGES[name], {"Content-Type": "text/html"})
    (fetch,) = Toolsets(egress=Egress([place])).build([{"type": "web"}], Path("/nonexistent"))

    work = asyncio.ensure_future(fetch.handler({"url": f"http://{place}/"}, CALL))
    slowest = await slowest_while(work)

    if work.exception() is not None:
        assert isinstance(work.exception(), ToolFailed)
    assert slowest < HELD


async def test_an_answer_of_an_mcp_server_is_not_unpacked(served: Served) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    place = await served(bomb, {"Content-Type": "application/json", "Content-Encoding": "gzip"})
    toolsets = Toolsets(egress=Egress([place]))

    with pytest.raises(McpServerFailed, match="packs its answer"):
        await opened(toolsets, {"url": f"http://{place}/mcp"})


async def test_an_answer_of_an_mcp_server_has_a_most(served: Served) -> None:
    place = await served(b" " * 40_000_000, {"Content-Type": "application/json"})
    toolsets = Toolsets(egress=Egress([place]))

    with pytest.raises(McpServerFailed, match="larger than"):
        await opened(toolsets, {"url": f"http://{place}/mcp"})


@pytest.mark.parametrize("program", [FLOOD, LOUD])
@pytest.mark.usefixtures("sandbox")
async def test_a_server_that_never_stops_talking_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, program: str, tmp_path: Path
) -> None:
    monkeypatch.setattr("services.tools.mcp_servers.CONNECT_SECONDS", 3.0)
    toolsets = Toolsets(sandbox=Sandbox([ROOT, Path(sys.base_prefix)]), mcp_commands=[sys.executable])

    work = asyncio.ensure_future(opened(toolsets, {"command": [sys.executable, "-c", program]}, tmp_path))
    slowest = await slowest_while(work)

    assert isinstance(work.exception(), McpServerFailed)
    assert slowest < HELD


async def test_what_is_said_too_fast_waits() -> None:
    pace, began = Pace(), time.perf_counter()

    for _ in range(1100):
        await pace.take(100)

    assert 0.3 < time.perf_counter() - began < 3


async def opened(toolsets: Toolsets, server: dict[str, Any], workspace: Path = Path("/nonexistent")) -> None:
    place = TurnPlace(workspace, "e", "o", turn=1, attempt=1)
    async with toolsets.open([{"type": "mcp", "servers": {"evil": server}}], place):
        pass


async def test_a_replacement_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    tools = {spec.name: spec for spec in Toolsets().build([{"type": "file_system"}], tmp_path)}
    await tools["write_file"].handler({"path": "a", "content": "a" * 1_000_000}, CALL)

    arguments = {"path": "a", "old_text": "a", "new_text": "b" * 1_000_000, "replace_all": True}

    with pytest.raises(ToolFailed, match="larger than"):
        await tools["edit_file"].handler(arguments, CALL)


async def test_an_expression_that_is_dear_to_look_for_holds_nobody_up(tmp_path: Path) -> None:
    tools = {spec.name: spec for spec in Toolsets().build([{"type": "file_system"}], tmp_path)}
    for number in range(5):
        await tools["write_file"].handler({"path": f"f{number}", "content": "é" * 1_000_000}, CALL)

    arguments = {"expression": "(\\p{L}{60}|\\w{70}x)+\\d"}
    work = asyncio.ensure_future(tools["search_files"].handler(arguments, CALL))
    slowest = await slowest_while(work)

    assert work.exception() is None or "does not end" in str(work.exception())
    assert slowest < HELD


def test_a_schema_without_end_is_no_tools_schema() -> None:
    """The same check stands before every toolset's tools."""
    spec = ToolSpec("t", "", doubled(20), handler=_never)

    with pytest.raises(ToolsetInvalid, match="more than 10000 schemas"):
        tools_of([spec])


async def _never(arguments: Any, call: Call) -> str:
    raise AssertionError(arguments, call)
