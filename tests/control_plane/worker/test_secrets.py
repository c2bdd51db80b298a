"""What an agent's tools find when they look for keys: everywhere, under every runtime."""

import asyncio
import base64
import json
import os
import re
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import make_url

from services.sandbox.sandbox import Sandbox
from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.control_plane.worker import commands_server
from tests.environments import ELSEWHERE, holdfast_of, is_here
from tests.stack import Stack

#: A worker for each runtime, one after the other.
pytestmark = pytest.mark.timeout(300)

SEARCH = Path(__file__).with_name("search.sh").read_bytes()
#: Where a file with a secret may be, as far as nobody else's files are in it.
PLACES = ("/home", "/root", "/run", "/tmp", "/var", "/opt", "/srv", "/mnt", "/dev/shm")
#: The last one's key is in the file.
PROVIDERS = ("scripted", "anthropic_scripted", "filed")
#: The gateway's token of an attempt.
TOKEN = re.compile(r"hf-[\w-]{43}")
SHELLS = {
    "native": "shell",
    "default": "shell",
    "langgraph": "shell",
    "openai_agents": "shell",
    "crewai": "shell",
    "claude_code": "Bash",
}
COMMANDS = {"command": [sys.executable, str(commands_server.__file__)]}
#: Tools that run commands, with their toolsets.
OTHERS: Mapping[str, Mapping[str, Any]] = {
    "python": {"type": "python_code"},
    "commands__run": {"type": "mcp", "servers": {"commands": COMMANDS}},
}


@dataclass(frozen=True, slots=True)
class Searched:
    """A stack with something to find, and a directory that is its workers' home."""

    stack: Stack
    home: Path
    secrets: Mapping[str, str]

    @property
    def ports(self) -> dict[str, int]:
        """Everything that listens on loopback, the model gateway included."""
        worker = psutil.Process(self.stack.processes["native"].pid)
        gateway = next(each.laddr.port for each in worker.net_connections("tcp") if each.status == psutil.CONN_LISTEN)
        return {name: self.stack.ports[name] for name in ("api", "temporal", "model")} | {"gateway": gateway}

    def search(self, processes: str = "/proc/[0-9]*", places: Sequence[str] = PLACES) -> str:
        """The command line that looks everywhere, and keeps what it sees."""
        where = " ".join(["$HOME", *places, str(self.home)])
        ports = " ".join(map(str, self.ports.values()))
        script = f"echo {base64.b64encode(SEARCH).decode()} | base64 -d > search"
        return f"{script}; bash search '{processes}' \"{where}\" '{ports}' 2>&1 | tee found.txt"

    def leaked(self, text: str) -> set[str]:
        """The names of what is in a text and should not be."""
        secret = {name for name, value in self.secrets.items() if value in text}
        reached = {name for name, port in self.ports.items() if f"reached {port}" in text}
        return secret | reached | ({"token"} if TOKEN.search(text) else set())

    async def found(self, execution: str, tool: str) -> str:
        """All that a tool saw: its result in the journal, not as the model got it, and what it kept."""
        path = f"/api/v1/executions/{execution}/steps"
        steps = (await self.stack.http.get(path, params={"include": "response"})).json()["items"]
        (response,) = [step["response"] for step in steps if step["kind"] == "tool_call" and step["name"] == tool]
        kept = self.stack.directory / "data" / "workspaces" / execution / "found.txt"
        return (response.get("whole") or response["text"]) + kept.read_text(errors="replace")


@pytest.fixture(scope="module")
async def searched(
    new_stack: NewStack, clone_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> AsyncGenerator[Searched]:
    home = tmp_path_factory.mktemp("home")
    password = secrets.token_hex(16)
    keys = {
        "provider key": f"sk-proj-{secrets.token_urlsafe(48)}",
        "provider key of the other wire": f"sk-ant-api03-{secrets.token_urlsafe(48)}",
        "usual key": f"sk-proj-{secrets.token_urlsafe(48)}",
        "key in a file": f"sk-proj-{secrets.token_urlsafe(48)}",
        "collector key": f"otlp-{secrets.token_urlsafe(48)}",
    }
    # Every process reads the file; where a provider really is, the workers' own environment says.
    places = "".join(f'[providers.{name}]\nbase_url = "http://127.0.0.1:9/v1"\n' for name in PROVIDERS)
    (home / "holdfast.toml").write_text(f'{places}api_key = "{keys["key in a file"]}"\n')
    settings = {
        "HOME": str(home),
        "HOLDFAST_CONFIG": str(home / "holdfast.toml"),
        "HOLDFAST_PROVIDERS__SCRIPTED__API_KEY": keys["provider key"],
        "HOLDFAST_PROVIDERS__ANTHROPIC_SCRIPTED__API_KEY": keys["provider key of the other wire"],
        "OPENAI_API_KEY": keys["usual key"],
        # Nobody listens there.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={keys['collector key']}",
        "HOLDFAST_SANDBOX_PATHS": f"{ROOT},{sys.base_prefix}",
        "HOLDFAST_MCP_COMMANDS": sys.executable,
    }
    url = make_url(clone_database()).set(password=password).render_as_string(hide_password=False)
    first, *others = (runtime for runtime in SHELLS if is_here(runtime))
    async with new_stack(pools=(first,), settings=settings, database_url=url) as stack:
        # One after the other: six frameworks imported at once take a small machine minutes.
        for runtime in others:
            stack.add_worker(runtime).start()
            stack.pools = (*stack.pools, runtime)
            await stack.until(stack.is_ready)
        servers = {"worker key": stack.worker_key, "database password": password, "database URL": url}
        yield Searched(stack, home, keys | servers)


async def _run(searched: Searched, runtime: str, toolsets: Sequence[Mapping[str, Any]], script: str) -> str:
    """An execution that has done what the script says, and keeps its workspace."""
    if runtime in ELSEWHERE:
        holdfast_of(runtime)
    model = "anthropic_scripted/scripted" if runtime == "claude_code" else "scripted/scripted"
    agent = f"{runtime}-{secrets.token_hex(4)}"
    await searched.stack.agent(agent, runtime=runtime, model_id=model, toolsets=toolsets)
    execution = await searched.stack.start(f"[[{script};; say done]]", agent, interactive=True)
    await searched.stack.until_event(execution, "turn.completed")
    return execution


@pytest.mark.parametrize("runtime", SHELLS)
async def test_a_shell_finds_no_key_no_token_and_no_server(searched: Searched, runtime: str) -> None:
    tool, command = SHELLS[runtime], searched.search()

    execution = await _run(searched, runtime, [{"type": "shell"}], f"tool {tool} {json.dumps({'command': command})}")
    found = await searched.found(execution, tool)

    assert "HOME=" in found
    assert "== memory of /proc/" in found
    assert "bytes are not shown" not in found
    assert searched.leaked(found) == set()


@pytest.mark.parametrize("tool", OTHERS)
async def test_what_else_runs_commands_finds_none_either(searched: Searched, tool: str) -> None:
    command = searched.search()
    code = f"import subprocess; subprocess.run(['bash', '-c', {command!r}])"
    arguments = {"code": code} if tool == "python" else {"command": command}

    execution = await _run(searched, "native", [OTHERS[tool]], f"tool {tool} {json.dumps(arguments)}")
    found = await searched.found(execution, tool)

    assert "== memory of /proc/" in found
    assert searched.leaked(found) == set()


@pytest.mark.parametrize("runtime", SHELLS)
async def test_file_tools_read_no_environment_and_no_settings(searched: Searched, runtime: str) -> None:
    tool, argument = ("Read", "file_path") if runtime == "claude_code" else ("read_file", "path")
    worker = searched.stack.processes[runtime].pid
    places = ["/proc/self/environ", f"/proc/{worker}/environ", str(searched.home / "holdfast.toml")]
    links = " && ".join(f"ln -s {place} link-{number}" for number, place in enumerate(places))
    paths = [*places, *(f"link-{number}" for number in range(len(places))), f"../../..{places[2]}"]
    reads = " && ".join(f"{tool} {json.dumps({argument: path})}" for path in paths)

    toolsets = [{"type": "shell"}, {"type": "file_system"}]
    script = f"tool {SHELLS[runtime]} {json.dumps({'command': f'{links}; ls'})};; tool {reads}"
    execution = await _run(searched, runtime, toolsets, script)
    log = json.dumps(await searched.stack.log(execution))

    assert log.count('"tool.completed"') == 1 + len(paths)
    assert "link-2" in log
    assert searched.leaked(log) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of processes that are not its children")
async def test_the_same_search_in_the_workers_place_finds_all_of_it(searched: Searched, tmp_path: Path) -> None:
    worker = searched.stack.processes["native"]
    pids = f"/proc/{worker.pid} /proc/{searched.stack.processes['api'].pid}"
    await searched.stack.agent("waiting", runtime="native")
    execution = await searched.stack.start("[[hang]]", "waiting")
    await searched.stack.until_event(execution, "attempt.started")

    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", searched.search(pids, ())), env=worker.environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    found, _ = await process.communicate()

    assert searched.leaked(found.decode(errors="replace")) == {*searched.secrets, *searched.ports, "token"}
