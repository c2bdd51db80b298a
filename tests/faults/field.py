"""The stack that is shot at: two workers of one pool, and a proxy of the tests' own on each of their ways out."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psutil

from tests.faults.gate import Call, Gate, Moment, Trap
from tests.faults.ledger import TOOLSET, Ledger
from tests.faults.proxy import Mode, TcpProxy
from tests.postgres import PostgresProcess
from tests.readers import Follower, Reader
from tests.stack import TERMINAL, Process, Stack, free_port

T = TypeVar("T")

#: What `kill -9` costs at least, in seconds.
HEARTBEAT_TIMEOUT = 5.0
#: Seconds that anything may take on a busy machine.
PATIENCE = 240.0
SETTINGS = {
    "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": str(HEARTBEAT_TIMEOUT),
    "HOLDFAST_WORKER_GRACE_SECONDS": "1",
    "HOLDFAST_RECONCILE_INTERVAL_SECONDS": "1",
    "HOLDFAST_PYTHON_TOOL_MODULES": "tests.faults.ledger",
}
#: The model that the scripted provider serves on the wire that a runtime speaks, by a name that its framework knows.
MODELS = {"claude_code": "anthropic_scripted/claude-sonnet-5"}
#: And by a name that none knows.
UNKNOWN_MODELS = {"claude_code": "anthropic_scripted/scripted"}
#: The agents by name, with their toolsets.
AGENTS = {
    "agent": [TOOLSET],
    "asking": [TOOLSET | {"approval": "always"}],
    "idempotent": [TOOLSET | {"effect": "idempotent"}],
    "shell": [{"type": "shell"}],
}


class Link:
    """A worker's ways out: to the API, through a gate behind a proxy, and to Temporal, through a proxy."""

    def __init__(self, worker: str, stack: "Field") -> None:
        self._gate = Gate(worker, lambda: stack.api_url, stack.traps, stack.calls)
        self.temporal = TcpProxy(lambda: stack.ports["temporal"])
        self.api_port = self.temporal_port = self._gate_port = 0
        self.api = TcpProxy(lambda: self._gate_port)

    async def start(self) -> None:
        """Listen at all ports."""
        self._gate_port = await self._gate.start()
        self.api_port = await self.api.start()
        self.temporal_port = await self.temporal.start()

    async def close(self) -> None:
        """Listen at none."""
        for each in (self.api, self.temporal, self._gate):
            await each.close()

    def heal(self) -> None:
        """Pass everything on."""
        self.api.set(Mode.PASS)
        self.temporal.set(Mode.PASS)


@dataclass(frozen=True, slots=True)
class Strike:
    """What was done to a worker, when (by `time.monotonic`), and which processes it had."""

    worker: str
    at: float
    children: Sequence[psutil.Process]
    attempt: int = 0


@dataclass
class Run:
    """One execution under fire, with its witnesses; `token` is in its prompt and in each of its effects."""

    token: str
    prompt: str
    execution: str
    followers: Sequence[Follower]
    strikes: list[Strike] = field(default_factory=list[Strike])


@dataclass
class Field(Stack):
    """Its pool is called as its runtime is."""

    postgres: PostgresProcess | None = None
    health_ports: dict[str, int] = field(default_factory=dict[str, int])
    links: dict[str, Link] = field(default_factory=dict[str, Link])
    traps: list[Trap] = field(default_factory=list[Trap])
    calls: list[Call] = field(default_factory=list[Call])
    agents: set[str] = field(default_factory=set[str])
    started: list[str] = field(default_factory=list[str])

    @property
    def pool(self) -> str:
        """The one pool, which is called as the runtime is."""
        return self.pools[0]

    @property
    def workers(self) -> tuple[str, str]:
        """The names of the pool's workers."""
        return self.pool, f"{self.pool}-heir"

    @property
    def ledger(self) -> Ledger:
        """Where the tools write."""
        return Ledger(self.directory / "ledger")

    async def until(self, holds: Callable[[], Awaitable[bool]], timeout: float = PATIENCE) -> None:
        """Wait until an async predicate holds."""
        await super().until(holds, timeout)

    async def _start(self) -> None:
        self.links = {name: Link(name, self) for name in self.workers}
        for link in self.links.values():
            await link.start()
        await super()._start()

    async def _stop(self) -> None:
        await super()._stop()
        for link in self.links.values():
            await link.close()

    def _define(self) -> None:
        super()._define()
        self.add_worker(self.pool, self.workers[1])

    def add_worker(self, pool: str, name: str | None = None, *options: str, **settings: str) -> Process:
        """Define a runtime worker behind its link, with a disk of its own."""
        name = name or pool
        link = self.links[name]
        self.health_ports[name] = free_port()
        given = self._worker_environment() | {
            "HOLDFAST_WORKER_HEALTH_PORT": str(self.health_ports[name]),
            "HOLDFAST_API_URL": f"http://127.0.0.1:{link.api_port}",
            "TEMPORAL_ADDRESS": f"127.0.0.1:{link.temporal_port}",
            "HOLDFAST_DATA_DIR": str(self.directory / name),
        }
        return self.add(name, "worker", "--pool", pool, *options, environment=given | settings)

    async def _agent(self, name: str, *, knows_model: bool) -> str:
        """The name of an agent, which is made when it is needed first."""
        made = name if knows_model else f"{name}-unknown-model"
        if made not in self.agents:
            model = (MODELS if knows_model else UNKNOWN_MODELS).get(self.pool, "scripted/scripted")
            await self.agent(made, runtime=self.pool, model_id=model, toolsets=AGENTS[name])
            self.agents.add(made)
        return made

    async def until_suspended(self, run: Run) -> None:
        """Wait until the execution asks a human and no worker has it."""
        await self.until(lambda: self._is_suspended(run))

    async def approve_all(self, run: Run) -> None:
        """Approve whatever the execution asks for, until it has ended."""
        async with asyncio.timeout(PATIENCE):
            while not await self._has_ended(run):
                for approval in await self._pending(run):
                    answer = await self.http.post(f"/api/v1/approvals/{approval['id']}/approve", json={})
                    assert answer.is_success, answer.text
                await asyncio.sleep(0.2)

    async def _pending(self, run: Run) -> list[dict[str, Any]]:
        asked = await self.http.get("/api/v1/approvals", params={"status": "pending", "execution_id": run.execution})
        assert asked.is_success, asked.text
        return asked.json()["items"]

    async def _is_suspended(self, run: Run) -> bool:
        return bool(await self._pending(run)) and any(
            call.execution == run.execution and call.verb == "close" for call in self.calls
        )

    async def _has_ended(self, run: Run) -> bool:
        return (await self.get(run.execution))["status"] in TERMINAL

    async def fire(self, script: str, *, agent: str = "agent", knows_model: bool = True) -> Run:
        """Start an execution that follows a script, in which `TOKEN` becomes its own token, with two readers.

        Some frameworks behave otherwise under a model's name that they do not know.
        """
        token = uuid4().hex[:12]
        prompt = f"run {token} [[{script.replace('TOKEN', token)}]]"
        execution = await self.start(prompt, await self._agent(agent, knows_model=knows_model))
        self.started.append(execution)
        return Run(token, prompt, execution, [Follower(Reader(execution), self.http, cuts) for cuts in (False, True)])

    def trap(
        self,
        moment: Moment,
        matches: Callable[[Call], bool],
        act: Callable[[Call], Awaitable[T]],
        *,
        goes_on: bool = False,
    ) -> "asyncio.Future[T]":
        """Do something at an exact moment of a call, before it goes on or ends there; gives what came of it."""
        sprung: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def spring(call: Call) -> bool:
            sprung.set_result(await act(call))
            return goes_on

        self.traps.append(Trap(moment, matches, spring))
        return sprung

    async def kill(self, worker: str, attempt: int = 0) -> Strike:
        """`kill -9` of a worker alone; what it started is left to itself."""
        return await self.strike(worker, signal.SIGKILL, attempt)

    async def strike(self, worker: str, signum: int, attempt: int = 0) -> Strike:
        """Send a worker a signal; waits for its end if that is what the signal means at once."""
        process = self.processes[worker]
        children = psutil.Process(process.pid).children(recursive=True)
        strike = Strike(worker, time.monotonic(), children, attempt)
        process.send(signum)
        if signum == signal.SIGKILL:
            await asyncio.to_thread(process.wait)
        return strike

    def holder(self, execution: str) -> tuple[str, int]:
        """Which worker has the execution now, and its attempt."""
        last = next(call for call in reversed(self.calls) if call.execution == execution and call.attempt)
        return last.worker, last.attempt

    async def recover(self) -> None:
        """Bring back whatever does not run, heal the network, forget old traps; returns when all is ready."""
        self.traps.clear()
        for link in self.links.values():
            link.heal()
        for process in self.processes.values():
            process.resume()
            if process.popen is None or process.popen.poll() is not None:
                process.start()
        await self.until(self.is_ready)
        await self.until(self._all_work)

    async def _all_work(self) -> bool:
        """Whether both workers take work."""
        return all([await self.takes_work(name) for name in self.workers])

    async def takes_work(self, worker: str) -> bool:
        """Whether a worker says that it takes work."""
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.health_ports[worker]}/health/ready")).is_success
            except httpx.TransportError:
                return False
