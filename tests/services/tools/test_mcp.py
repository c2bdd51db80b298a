"""The toolset `mcp`, with real servers over both transports."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtimes.errors import McpServerFailed, ToolsetInvalid
from runtimes.types import Effect
from services.egress import Egress
from services.sandbox.sandbox import Sandbox
from services.tools.absent import Absent
from services.tools.mcp_servers import tool_name
from services.tools.place import TurnPlace
from services.tools.spec import Call, ToolFailed, ToolSpec
from services.tools.toolsets import Toolsets
from tests.architecture.source import ROOT
from tests.services.tools import mcp_server

SERVER = str(mcp_server.__file__)
CALL = Call("call_1", "key-1")
STDIO: dict[str, Any] = {"command": [sys.executable, SERVER]}


#: A worker with a server that nobody ends.
WORKER = """
import asyncio, sys
from pathlib import Path
from services.sandbox.sandbox import Sandbox
from services.tools.place import TurnPlace
from services.tools.toolsets import Toolsets

async def main(workspace, server):
    toolsets = Toolsets(sandbox=Sandbox([Path.cwd(), Path(sys.base_prefix)]), mcp_commands=[sys.executable])
    wanted = [{"type": "mcp", "servers": {"math": {"command": [sys.executable, server]}}}]
    async with toolsets.open(wanted, TurnPlace(Path(workspace), "e", "o", turn=1, attempt=1)):
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


class Servers:
    """Opens a toolset with some servers."""

    def __init__(self, toolsets: Toolsets, workspace: Path) -> None:
        self._toolsets = toolsets
        self._place = TurnPlace(workspace, "e", "o", turn=1, attempt=1)

    def open(self, servers: dict[str, Any], **fields: Any) -> AbstractAsyncContextManager[list[ToolSpec]]:
        return self._toolsets.open([{"type": "mcp", "servers": servers, **fields}], self._place)


@pytest.fixture
def servers(sandbox: Sandbox, tmp_path: Path) -> Servers:
    """With the sandbox, which is told to show the tests."""
    own = Sandbox([ROOT, Path(sys.base_prefix)])
    return Servers(Toolsets(sandbox=own, mcp_commands=[sys.executable, "cat", "false"]), tmp_path)


@pytest.fixture(scope="module")
async def url() -> AsyncGenerator[str]:
    """Of a server over streamable HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(sys.executable, SERVER, str(port), stderr=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(30):
        while not await answers(port):
            await asyncio.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    await process.wait()


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def over_http(url: str, workspace: Path) -> Servers:
    return Servers(Toolsets(egress=Egress([url.split("/")[2]])), workspace)


def running() -> list[str]:
    lines = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
    return [" ".join(line) for line in lines if line and line[-1] == SERVER]


async def test_a_servers_tools_have_its_name_before_theirs(servers: Servers) -> None:
    async with servers.open({"math": STDIO}) as specs:
        told = {spec.name: (spec.effect, spec.writes) for spec in specs}
        add = specs[0]

    assert told == {
        "math__add": (Effect.READ_ONLY, False),
        "math__key": (Effect.IDEMPOTENT, True),
        "math__told": (Effect.AT_MOST_ONCE, True),
        "math__fail": (Effect.AT_MOST_ONCE, True),
        "math__die": (Effect.AT_MOST_ONCE, True),
        "math__digest": (Effect.READ_ONLY, False),
        "math__show": (Effect.READ_ONLY, False),
        "math__die_telling": (Effect.AT_MOST_ONCE, True),
        "math__limits": (Effect.AT_MOST_ONCE, True),
        tool_name("math", "see.things"): (Effect.AT_MOST_ONCE, True),
    }
    assert (add.description, add.parameters["required"]) == ("Add two numbers.", ["first", "second"])


async def test_a_started_server_answers_and_is_gone_with_the_turn(servers: Servers) -> None:
    async with servers.open({"math": STDIO, "more": {**STDIO, "only": ["key"]}}) as specs:
        tools = {spec.name: spec for spec in specs}
        assert await tools["math__add"].handler({"first": 2, "second": 3}, CALL) == "5"
        assert await tools["more__key"].handler({}, CALL) == "key-1"
        assert len(running()) >= 2

    assert running() == []


async def test_a_started_server_sees_what_the_agent_gives_it_and_the_workspace(servers: Servers) -> None:
    server = {**STDIO, "env": {"TOKEN": "t"}, "only": ["see.things"]}
    async with servers.open({"math": server}) as (see,):
        seen = json.loads(await see.handler({}, CALL))

    assert {"TOKEN", "PATH", "HOME"} <= set(seen["environment"])
    assert not [name for name in seen["environment"] if name.startswith(("PYTEST", "HOLDFAST"))]
    assert (seen["here"], seen["secret"]) == ("/workspace", False)


async def test_what_a_tool_calls_a_failure_is_for_the_model(servers: Servers) -> None:
    async with servers.open({"math": {**STDIO, "only": ["fail"]}}) as (fail,):
        with pytest.raises(ToolFailed, match="no more ink"):
            await fail.handler({"reason": "no more ink"}, CALL)


async def test_a_server_that_dies_is_an_error_of_the_turn(servers: Servers) -> None:
    async with servers.open({"math": STDIO}) as specs:
        tools = {spec.name: spec for spec in specs}
        with pytest.raises(McpServerFailed, match="'math' has ended"):
            await tools["math__die"].handler({}, CALL)
        with pytest.raises(McpServerFailed, match="'math' has ended"):
            await tools["math__add"].handler({"first": 2, "second": 3}, CALL)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"command": [sys.executable, "/nowhere.py"]}, "'math' cannot be used: Connection closed.*No such file"),
        ({"command": ["false"]}, "'math' cannot be used"),
        ({"command": [sys.executable, "-c", "print('hello')"]}, "'math' cannot be used"),
    ],
)
async def test_a_server_that_is_none_is_an_error_of_the_turn(
    servers: Servers, server: dict[str, Any], told: str
) -> None:
    with pytest.raises(McpServerFailed, match=told) as raised:
        async with servers.open({"other": STDIO, "math": server}):
            pass

    assert raised.value.retryable
    assert running() == []


async def test_a_server_has_a_limit_on_all_its_processes_together(servers: Servers) -> None:
    crowd = "import os, time\nfor _ in range(300): os.fork() or time.sleep(60)\ntime.sleep(60)"

    with pytest.raises(McpServerFailed, match=r"more than 256 processes|Resource temporarily unavailable"):
        async with servers.open({"math": {"command": [sys.executable, "-c", crowd]}}):
            pass


async def test_a_started_server_ends_with_a_worker_that_is_killed(servers: Servers, tmp_path: Path) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, str(tmp_path), SERVER, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    assert await worker.stdout.readline() == b"open\n"
    before = running()

    worker.kill()
    await worker.wait()

    assert before
    async with asyncio.timeout(5):
        while running():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ({"command": ["bash", "-c", "true"]}, "allows no command 'bash'"),
        ({"command": ["/usr/bin/cat"]}, "allows no command '/usr/bin/cat'"),
        ({"command": ["cat; true"]}, "no name or path of a program"),
        ({"command": "cat"}, "malformed at 'servers/math/command'"),
        ({"command": []}, "malformed at 'servers/math/command'"),
        ({"command": ["cat"], "network": True}, "allows commands no network"),
        ({"command": ["cat"], "url": "https://example.com"}, "either a command or a url"),
        ({"command": ["cat"], "headers": {"a": "b"}}, "has no headers"),
        ({}, "either a command or a url"),
        ({"url": "http://127.0.0.1/mcp"}, "private and local"),
        ({"url": "http://localhost:8000/mcp"}, "Port 8000 is not allowed"),
        ({"url": "file:///etc/passwd"}, "Only http and https"),
        ({"url": "https://user:password@example.com/"}, "user or a password"),
        ({**STDIO, "only": ["ad"]}, "has no tool 'ad'"),
    ],
)
async def test_a_server_that_is_not_allowed_is_refused(servers: Servers, server: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolsetInvalid, match=told):
        async with servers.open({"math": server}):
            pass

    assert running() == []


async def test_one_of_its_tools_may_differ(servers: Servers) -> None:
    async with servers.open(
        {"math": STDIO}, tools={"math__fail": {"effect": "read_only", "timeout_seconds": 2}}
    ) as all_:
        fail = next(spec for spec in all_ if spec.name == "math__fail")

    assert (fail.effect, fail.timeout_seconds) == (Effect.READ_ONLY, 2)
    with pytest.raises(ToolsetInvalid, match="no tool 'math_fail'"):
        async with servers.open({"math": STDIO}, tools={"math_fail": {}}):
            pass


async def test_a_cancelled_turn_leaves_no_server(servers: Servers) -> None:
    opened = asyncio.Event()

    async def turn() -> None:
        async with servers.open({"math": STDIO}):
            opened.set()
            await asyncio.sleep(60)

    work = asyncio.create_task(turn())
    await opened.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

    assert running() == []


async def test_a_turn_that_is_cancelled_while_it_connects_leaves_no_server(servers: Servers) -> None:
    async def turn() -> None:
        async with servers.open({"math": STDIO, "silent": {"command": ["cat"]}}):
            pass

    work = asyncio.create_task(turn())
    await asyncio.sleep(1)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

    assert running() == []


async def test_a_server_over_http_answers(url: str, tmp_path: Path) -> None:
    servers = over_http(url, tmp_path)

    async with servers.open({"far": {"url": url, "headers": {"X-Key": "k"}, "only": ["add", "key", "fail"]}}) as specs:
        add, key, fail = specs
        assert await add.handler({"first": 2, "second": 3}, CALL) == "5"
        assert await key.handler({}, CALL) == "key-1"
        assert not fail.writes
        with pytest.raises(ToolFailed, match="no more ink"):
            await fail.handler({"reason": "no more ink"}, CALL)


async def test_a_server_over_http_that_is_not_there_is_an_error_of_the_turn(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/mcp"

    with pytest.raises(McpServerFailed, match="'far' cannot be used"):
        async with over_http(url, tmp_path).open({"far": {"url": url}}):
            pass


@pytest.mark.parametrize(
    ("server", "tool"), [("s", "a" * 100), ("s", "a.b"), ("s", "ü"), ("s" * 32, "t" * 32), ("s", "a b")]
)
def test_a_name_that_no_model_takes_becomes_one(server: str, tool: str) -> None:
    name = tool_name(server, tool)

    assert len(name) <= 64
    assert name.isascii()
    assert name.replace("_", "").replace("-", "").isalnum()
    assert name != tool_name(server, tool + "x")
    assert tool_name("s", "plain") == "s__plain"


async def test_a_server_that_was_away_is_tried_again_once_for_each_look(servers: Servers, tmp_path: Path) -> None:
    absent: list[Absent] = []
    script = tmp_path / "back"
    command = ["/bin/sh", "-c", f"test -e {script.name} && exec {sys.executable} {SERVER}"]
    toolsets = Toolsets(sandbox=Sandbox([ROOT, Path(sys.base_prefix)]), mcp_commands=["/bin/sh"])
    wanted = [{"type": "mcp", "servers": {"math": {"command": command}}, "tools": {"math__add": {"output_limit": 107}}}]

    async with toolsets.open(wanted, TurnPlace(tmp_path, "e", "o", turn=1, attempt=2), absent) as specs:
        before = await absent[0].tool("math__add")
        script.touch()
        after = await asyncio.gather(*(absent[0].tool(name) for name in ("math__add", "math__key", "math__other")))
        assert after[0] is not None
        answer = await after[0].handler({"first": 1, "second": 2}, CALL)

    assert (specs, before, after[2], answer) == ([], None, None, "3")
    assert after[0].output_limit == 107
    assert [absent[0].may_have(name) for name in ("math__add", "other__add")] == [True, False]
    assert running() == []
