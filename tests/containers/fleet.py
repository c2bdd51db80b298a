"""PostgreSQL, Temporal, two control planes, workflow workers and two pools, each a container, from our images."""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from testcontainers.core.network import Network

from control_plane.local.temporal import DYNAMIC_CONFIG, SEARCH_ATTRIBUTES
from tests.architecture.source import ROOT
from tests.builds import make_current
from tests.containers.containers import RESTRICTED, UNASKED, Container
from tests.containers.images import built, run, witness
from tests.faults.field import HEARTBEAT_TIMEOUT, Field
from tests.faults.ledger import TOOLSET, Ledger
from tests.stack import free_port

#: Seconds that turns get to end when their worker stops.
GRACE = 10
LEDGER = ROOT / "tests" / "faults" / "ledger.py"
SETTINGS = {
    "TEMPORAL_ADDRESS": "temporal:7233",
    "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": f"{HEARTBEAT_TIMEOUT:g}",
    "HOLDFAST_WORKER_GRACE_SECONDS": str(GRACE),
    "HOLDFAST_RECONCILE_INTERVAL_SECONDS": "1",
    "HOLDFAST_ALLOWED_HOSTS": "*",
    "HOLDFAST_PYTHON_TOOL_MODULES": "tests.faults.ledger",
    "HOLDFAST_PROVIDERS__SCRIPTED__BASE_URL": "http://model:8090/v1",
    "HOLDFAST_PROVIDERS__SCRIPTED__API_KEY": "scripted",
    "PYTHONPATH": "/opt/tools",
}
DATABASE = "postgresql://postgres@{host}:{port}/postgres"


class Replicas(httpx.AsyncHTTPTransport):
    """Sends each request to the next replica of the control plane that listens."""

    def __init__(self, *ports: int) -> None:
        super().__init__(trust_env=False)
        self._ports = itertools.cycle(ports)
        self._spare = len(ports) - 1

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on."""
        for _ in range(self._spare):
            with suppress(httpx.ConnectError):
                return await self._send(request)
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        return await super().handle_async_request(request)


@dataclass
class Fleet(Field):
    """A field whose processes are containers; each pool is called as its runtime is."""

    network: Network = field(default_factory=Network)
    containers: dict[str, Container] = field(default_factory=dict[str, Container])

    async def _start(self) -> None:
        await asyncio.to_thread(self.network.create)
        self.ports = {name: free_port() for name in ("api-1", "api-2", "temporal", "http", "postgres", "model")}
        self.database_url = DATABASE.format(host="127.0.0.1", port=self.ports["postgres"])
        self._add_servers()
        await self.start_all()
        await self.until(self.temporal_answers)
        await self.until(self._database_answers)
        self.api_key = await asyncio.to_thread(self._migrated)
        self._add_control_planes()
        await self.start_all()
        self.http = httpx.AsyncClient(
            base_url="http://127.0.0.1",
            transport=Replicas(self.ports["api-1"], self.ports["api-2"]),
            headers={"Authorization": f"Bearer {self.api_key}"},
            timeout=70,
        )
        await self.until(self._answers)
        self.worker_key = await self._key_for_workers()
        self.temporal = await Client.connect(self.temporal_address, data_converter=pydantic_data_converter)
        await self._start_workers()

    async def _stop(self) -> None:
        for container in reversed(self.containers.values()):
            await container.remove(self.directory / f"{container.name}.log")
        await asyncio.to_thread(self.network.remove)

    @property
    def ledger(self) -> Ledger:
        """Where the tools write: at the same path outside and inside."""
        return Ledger(self._shared / "ledger")

    @property
    def _shared(self) -> Path:
        place = self.directory / "shared"
        place.mkdir(exist_ok=True)
        place.chmod(0o777)
        return place

    async def start_all(self) -> None:
        """Start what was added."""
        for container in self.containers.values():
            if container.running is None:
                await asyncio.to_thread(container.start)

    def add_container(self, name: str, image: str, *command: str, **more: Any) -> Container:
        """Define a container."""
        container = self.containers[name] = Container(name, image, self.network, command, **more)
        return container

    def add_pool_worker(self, pool: str, name: str, build: str = "a", image: str = "") -> Container:
        """Define a worker of a pool."""
        return self._add_worker(name, image or built(f"worker-{pool}"), build, "--pool", pool)

    def add_workflow_worker(self, name: str, build: str = "a", image: str = "") -> Container:
        """Define a workflow worker."""
        return self._add_worker(name, image or built("control-plane"), build, "--workflows")

    def _add_worker(self, name: str, image: str, build: str, *options: str) -> Container:
        environment = {
            "HOLDFAST_API_URL": "http://control-plane:8080",
            "HOLDFAST_API_KEY": self.worker_key,
            "TEMPORAL_WORKER_BUILD_ID": build,
        }
        mounts = {self._shared: str(self._shared), LEDGER: "/opt/tools/tests/faults/ledger.py"}
        return self._add_ours(name, image, "worker", *options, environment=environment, mounts=mounts)

    def _add_ours(self, name: str, image: str, *command: str, environment: Mapping[str, str], **more: Any) -> Container:
        return self.add_container(
            name, image, *command, environment=SETTINGS | dict(environment), options=RESTRICTED | UNASKED, **more
        )

    def _add_servers(self) -> None:
        trust = {"POSTGRES_HOST_AUTH_METHOD": "trust"}
        self.add_container("postgres", witness("postgres"), environment=trust, ports={5432: self.ports["postgres"]})
        flags = ["--ip=0.0.0.0", "--http-port=7243", "--headless", "--log-level=warn"]
        flags += [f"--dynamic-config-value={value}" for value in DYNAMIC_CONFIG]
        flags += [f"--search-attribute={name}=Keyword" for name in SEARCH_ATTRIBUTES]
        ports = {7233: self.ports["temporal"], 7243: self.ports["http"]}
        self.add_container("temporal", witness("temporal"), "server", "start-dev", *flags, ports=ports)
        listen = ("scripted-model", "--host", "0.0.0.0", "--port", "8090")
        ports = {8090: self.ports["model"]}
        self._add_ours("model", built("control-plane"), *listen, environment={}, ports=ports)

    def _add_control_planes(self) -> None:
        environment = {"HOLDFAST_DATABASE_URL": DATABASE.format(host="postgres", port=5432)}
        for name in ("api-1", "api-2"):
            ports = {8080: self.ports[name]}
            self._add_ours(
                name, built("control-plane"), "api", environment=environment, alias="control-plane", ports=ports
            )

    def _migrated(self) -> str:
        """Make the schema; gives the first key."""
        url = DATABASE.format(host="postgres", port=5432)
        options = ("--rm", f"--network={self.network.name}", f"--env=HOLDFAST_DATABASE_URL={url}", "--read-only")
        return run("docker", "run", *options, built("control-plane"), "migrate", "--first-key")

    async def _database_answers(self) -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(self.database_url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    async def _answers(self) -> bool:
        try:
            return all([(await self.http.get("/health/ready")).is_success for _ in ("api-1", "api-2")])
        except httpx.TransportError:
            return False

    async def _key_for_workers(self) -> str:
        answer = await self.http.post("/api/v1/keys", json={"name": "workers", "scopes": ["worker"]})
        assert answer.status_code == 201, answer.text
        return answer.json()["key"]

    async def _start_workers(self) -> None:
        """Two workers of each pool's build `a`, which is current."""
        self.add_workflow_worker("workflows-1")
        for pool in self.pools:
            for number in (1, 2):
                self.add_pool_worker(pool, f"{pool}-{number}")
        await self.start_all()
        for deployment in ("holdfast", *(f"holdfast-{pool}" for pool in self.pools)):
            await make_current(self, deployment, "a")
        await self.until(self.is_ready)
        for pool in self.pools:
            await self._make_agent(pool)

    async def _make_agent(self, name: str) -> None:
        await self.agent(name, runtime=name, model_id="scripted/scripted", toolsets=[TOOLSET])
        self.agents.add(name)

    async def container_of(self, execution: str) -> Container:
        """The one whose worker has the execution's latest attempt."""
        started = [event for event in await self.log(execution) if event["type"] == "attempt.started"]
        pool = (await self.get(execution))["task_queue"].removeprefix("holdfast.")
        workers = (await self.http.get(f"/api/v1/worker-pools/{pool}")).json()["live_workers"]
        (host,) = (worker["host"] for worker in workers if worker["id"] == started[-1]["data"]["worker_id"])
        return self.containers[host]


def new_fleet(directory: Path) -> Fleet:
    """A fleet of two pools that is not started yet."""
    return Fleet(directory, "", pools=("native", "default"))
