"""The real stack for tests: every process its own, on loopback, to be killed and started at will."""

import asyncio
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg
from httpx_sse import aconnect_sse
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from control_plane.local.keys import insert_key
from control_plane.local.ports import is_free
from control_plane.local.temporal import DYNAMIC_CONFIG, PRAGMAS, SEARCH_ATTRIBUTES, temporal_binary
from tests.environments import ELSEWHERE, holdfast_of

BIN = Path(sys.executable).parent
START_SECONDS = 90.0
#: Under which the API seals secrets; settings may name another one.
SECRETS_KEY = b64encode(bytes(32)).decode()
TERMINAL = {"completed", "failed", "cancelled", "timed_out"}

Event = dict[str, Any]


#: Below those that the kernel gives to outgoing connections, which would take a port while nobody listens at it.
_PORTS = iter(Random().sample(range(12_000, 32_000), 20_000))


def free_port() -> int:
    """A port that nobody listens at now, and that is given out once."""
    return next(port for port in _PORTS if is_free(port))


@dataclass
class Process:
    """A process of the stack."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.popen is not None
        return self.popen.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.send(signal.SIGTERM)

    def send(self, signum: int) -> None:
        """Send a signal if it runs."""
        if self.popen is not None and self.popen.poll() is None:
            self.popen.send_signal(signum)

    def wait(self, timeout: float = 30) -> int:
        """Wait for its end; gives its exit code."""
        assert self.popen is not None
        return self.popen.wait(timeout)

    def stop(self) -> None:
        """End it in any case."""
        if self.popen is None:
            return
        self.send(signal.SIGCONT)
        self.terminate()
        try:
            self.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class Stack:
    """PostgreSQL is given; Temporal, API, workers and scripted model are started here.

    `settings` are further environment variables of the API and the workers.
    """

    directory: Path
    database_url: str
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    pools: Sequence[str] = ("default", "scripted")
    dynamic_config: Sequence[str] = ()
    processes: dict[str, Process] = field(default_factory=dict[str, Process])
    ports: dict[str, int] = field(default_factory=dict[str, int])
    api_key: str = ""
    worker_key: str = ""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as failed:
            failed.push_async_callback(self._stop)
            await self._start()
            failed.pop_all()
        return self

    async def _start(self) -> None:
        await self._make_keys()
        self.ports = {name: free_port() for name in ("api", "temporal", "ui", "http", "metrics", "model")}
        self._define()
        for name in ("temporal", "model"):
            self.processes[name].start()
        await self.until(self.temporal_answers)
        for process in self.processes.values():
            if process.popen is None:
                process.start()
        self.http = httpx.AsyncClient(
            base_url=self.api_url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=70, trust_env=False
        )
        await self.until(self.is_ready)
        self.temporal = await Client.connect(self.temporal_address, data_converter=pydantic_data_converter)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()
        await self._stop()

    async def _stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.send(signal.SIGCONT)
            process.terminate() if process.name != "temporal" else None
        for process in reversed(self.processes.values()):
            await asyncio.to_thread(process.stop)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['api']}"

    @property
    def model_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['model']}"

    @property
    def temporal_address(self) -> str:
        return f"127.0.0.1:{self.ports['temporal']}"

    async def start(self, prompt: str | None, agent: str = "demo", **body: Any) -> str:
        """Start an execution; gives its id."""
        response = await self.http.post("/api/v1/executions", json={"agent_id": agent, "prompt": prompt} | body)
        assert response.status_code == 201, response.text
        return response.json()["id"]

    async def agent(self, name: str, **body: Any) -> dict[str, Any]:
        """Make an agent, by default on the scripted model."""
        response = await self.http.post("/api/v1/agents", json={"name": name, "model_id": "scripted/scripted"} | body)
        assert response.status_code == 201, response.text
        return response.json()

    async def get(self, execution: str) -> dict[str, Any]:
        """The execution as the API shows it."""
        response = await self.http.get(f"/api/v1/executions/{execution}")
        assert response.status_code == 200, response.text
        return response.json()

    async def result(self, execution: str, timeout: float = 60) -> dict[str, Any]:
        """The execution's result, waited for across restarts of the API."""
        async with asyncio.timeout(timeout):
            while True:
                try:
                    response = await self.http.get(f"/api/v1/executions/{execution}/result", params={"wait": 5})
                except httpx.TransportError:
                    await asyncio.sleep(0.2)
                    continue
                if response.status_code == 200:
                    return response.json()
                if response.status_code >= 500:
                    await asyncio.sleep(0.2)

    async def log(self, execution: str) -> list[Event]:
        """The event log as it is now."""
        async with self.stream(execution, follow="false") as events:
            return [event async for event in events]

    async def types(self, execution: str) -> list[str]:
        """The types of the events of the log as it is now."""
        return [event["type"] for event in await self.log(execution)]

    async def until_event(self, execution: str, kind: str) -> Event:
        """Follow the log until an event of a type comes."""
        async with asyncio.timeout(60), self.stream(execution) as events:
            async for event in events:
                if event["type"] == kind:
                    return event
        raise AssertionError(f"{kind} never came")

    async def until_status(self, execution: str, status: str, timeout: float = 60) -> None:
        """Wait for a status of the execution."""

        async def has_it() -> bool:
            return (await self.get(execution))["status"] == status

        await self.until(has_it, timeout)

    @asynccontextmanager
    async def stream(self, execution: str, **params: str) -> AsyncGenerator[AsyncGenerator[Event]]:
        """The SSE stream, each event with its `id`."""
        url = f"/api/v1/executions/{execution}/events"
        async with aconnect_sse(self.http, "GET", url, params=params) as source:

            async def events() -> AsyncGenerator[Event]:
                async for event in source.aiter_sse():
                    # Sent for a comment that keeps the stream open.
                    if event.data:
                        yield {"id": event.id, **event.json()}

            yield events()

    async def model_calls(self, contains: str) -> list[dict[str, Any]]:
        """What the scripted model was asked, by a piece of the prompt."""
        async with httpx.AsyncClient(base_url=self.model_url, trust_env=False) as client:
            answer = await client.get("/requests", params={"contains": contains})
        return answer.json()["requests"]

    async def temporal_status(self, execution: str) -> str:
        """What Temporal says of the execution's workflow."""
        handle = self.temporal.get_workflow_handle((await self.get(execution))["workflow_id"])
        status = (await handle.describe()).status
        assert status is not None
        return status.name

    async def until(self, holds: Any, timeout: float = START_SECONDS) -> None:
        """Wait until an async predicate holds."""
        async with asyncio.timeout(timeout):
            while not await holds():
                await asyncio.sleep(0.05)

    async def temporal_answers(self) -> bool:
        """Whether Temporal serves and knows our search attributes."""
        url = f"http://127.0.0.1:{self.ports['http']}/api/v1/namespaces/default/search-attributes"
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                answer = await client.get(url)
            except httpx.TransportError:
                return False
        return all(name in answer.text for name in SEARCH_ATTRIBUTES)

    async def is_ready(self) -> bool:
        """Whether API and all workers are there."""
        try:
            if not (await self.http.get("/health/ready")).is_success:
                return False
            pools = (await self.http.get("/api/v1/worker-pools")).json()["items"]
        except httpx.TransportError:
            return False
        return {pool["pool"] for pool in pools} >= {*self.pools, "workflows"}

    def add(self, name: str, *command: str, environment: Mapping[str, str] | None = None) -> Process:
        """Define a further process of ours."""
        given = self._environment() | dict(environment or {})
        place = holdfast_of(command[-1]) if command[-1] in ELSEWHERE else BIN / "holdfast"
        process = Process(name, (str(place), *command), given, self.directory / f"{name}.log")
        self.processes[name] = process
        return process

    def add_worker(self, pool: str, name: str | None = None, *options: str, **settings: str) -> Process:
        """Define a runtime worker."""
        given = self._worker_environment() | settings
        return self.add(name or pool, "worker", "--pool", pool, *options, environment=given)

    def _define(self) -> None:
        self.processes["temporal"] = Process(
            "temporal", self._temporal_command(), dict(os.environ), self.directory / "temporal.log"
        )
        self.add("model", "scripted-model", "--port", str(self.ports["model"]))
        self.add("api", "api", environment=self.api_environment(self.ports["api"]))
        self.add("workflows", "worker", "--workflows", environment=self._worker_environment())
        for pool in self.pools:
            self.add_worker(pool)

    def api_environment(self, port: int) -> dict[str, str]:
        """For a replica of the API at a port."""
        place = {"HOLDFAST_DATABASE_URL": self.database_url, "HOLDFAST_API_PORT": str(port)}
        return place | {"HOLDFAST_SECRETS_KEY": self.settings.get("HOLDFAST_SECRETS_KEY", SECRETS_KEY)}

    def _worker_environment(self) -> dict[str, str]:
        return {
            "HOLDFAST_API_URL": self.api_url,
            "HOLDFAST_API_KEY": self.worker_key,
            "HOLDFAST_PROVIDERS__SCRIPTED__BASE_URL": f"{self.model_url}/v1",
            "HOLDFAST_PROVIDERS__ANTHROPIC_SCRIPTED__BASE_URL": self.model_url,
            "HOLDFAST_PROVIDERS__ANTHROPIC_SCRIPTED__WIRE": "anthropic",
            "HOLDFAST_PROVIDERS__DEEPSEEK__BASE_URL": f"{self.model_url}/v1",
            "HOLDFAST_PROVIDERS__LISTED__BASE_URL": f"{self.model_url}/v1",
            "HOLDFAST_PROVIDERS__LISTED__MODELS": "tiny,small",
        }

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        ours = {
            "HOLDFAST_DATA_DIR": str(self.directory / "data"),
            "TEMPORAL_ADDRESS": self.temporal_address,
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "default",
        }
        return kept | ours | dict(self.settings)

    def _temporal_command(self) -> list[str]:
        command = [str(temporal_binary()), "server", "start-dev", "--ip", "127.0.0.1", "--ui-ip", "127.0.0.1"]
        command += ["--port", str(self.ports["temporal"]), "--ui-port", str(self.ports["ui"])]
        command += ["--http-port", str(self.ports["http"]), "--metrics-port", str(self.ports["metrics"])]
        command += ["--db-filename", str(self.directory / "temporal.db"), "--log-level", "warn"]
        for flag, values in (
            ("--sqlite-pragma", PRAGMAS),
            ("--dynamic-config-value", (*DYNAMIC_CONFIG, *self.dynamic_config)),
            ("--search-attribute", [f"{name}=Keyword" for name in SEARCH_ATTRIBUTES]),
        ):
            for value in values:
                command += [flag, value]
        return command

    async def _make_keys(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.database_url.replace("+psycopg", "")) as connection:
            self.api_key = await insert_key(connection, "tests", ["read", "write", "admin"])
            self.worker_key = await insert_key(connection, "workers", ["worker"])
