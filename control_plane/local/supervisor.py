"""The supervisor of the local stack: starts everything in order, keeps it alive, stops it in order."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, TypeVar

import httpx
import psycopg
from psutil import Process

from control_plane.local.child import Child, PortTaken, Service, ServiceFailed
from control_plane.local.credentials import Credentials, read_credentials
from control_plane.local.demo import NAME, DemoAgent, DemoUnavailable
from control_plane.local.directory import DataDirectory
from control_plane.local.keys import choose_credentials, ensure_credentials
from control_plane.local.pools import PoolKeeper
from control_plane.local.ports import choose_ports
from control_plane.local.postgres import EmbeddedPostgres, postgres_binaries
from control_plane.local.processes import end, find, holdfast_command, identify
from control_plane.local.progress import Progress
from control_plane.local.secrets_key import KEY_LOST, lost_keys, secrets_key
from control_plane.local.services import OwnServices
from control_plane.local.state import ProcessState, StackPhase, StackState, read_state, write_state
from control_plane.local.temporal import DevServer, temporal_binary
from control_plane.local.web_ui_guard import web_ui_guard
from control_plane.settings import Settings

T = TypeVar("T")

#: Seconds that a process left behind by an earlier stack gets to end.
LEFTOVER_SECONDS = 3.0
MIGRATION_SECONDS = 120.0
#: Times that ports are chosen: somebody may take one between the look and the start.
PORT_TRIES = 4
#: A signal to a whole process group comes twice; only a later one means "at once".
SAME_REQUEST_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """What will run; made before anything is started."""

    postgres: EmbeddedPostgres
    temporal: DevServer
    own: OwnServices


@dataclass
class Supervisor:
    """Runs one local stack; `wanted_ports` are the ones that the user asked for, by their use."""

    settings: Settings
    directory: DataDirectory
    wanted_ports: dict[str, int]
    progress: Progress
    _children: list[Child] = field(init=False, default_factory=list[Child])
    _state: StackState | None = field(init=False, default=None)
    _asked_at: float = field(init=False, default=0.0)
    _guards: AsyncExitStack = field(init=False, default_factory=AsyncExitStack)
    _stop: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    async def run(self, ready: Callable[[StackState], None]) -> None:
        """Start the stack, call `ready`, and run until a signal; everything is stopped at the end.

        Raises:
            ServiceFailed: a process did not start.
            PostgresUnusable, TemporalMissing, AccountMissing: something that is needed is not there.
            SecretsKeyUnusable: the file of the key for secrets holds none.
        """
        self._on_signals()
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            try:
                if plan := await self._unless_stopped(self._come_up(client)):
                    ready(self._enter(StackPhase.RUNNING))
                    await self._until_stopped(plan.own)
            finally:
                await self._bring_down()

    async def _until_stopped(self, own: OwnServices) -> None:
        """Keep the pools of added runtimes until a signal."""
        credentials = read_credentials(self.directory.credentials)
        assert credentials is not None
        service = partial(own.pool, credentials)
        keeper = PoolKeeper(self.directory, service, self._children, self.progress, self._save)
        keeping = asyncio.create_task(keeper.keep())
        await self._stop.wait()
        keeping.cancel()
        await asyncio.wait({keeping})

    def _plan(self, client: httpx.AsyncClient) -> Plan:
        secrets_key(self.directory.secrets_key)
        before = read_state(self.directory.state)
        end_leftovers(before, self.progress.say)
        postgres = EmbeddedPostgres(self.directory.postgres, binaries=postgres_binaries(), say=self.progress.say)
        binary = temporal_binary()
        ports = choose_ports(self.wanted_ports, before.ports if before else None, self.progress.say)
        began = monotonic()
        if postgres.set_up():
            self.progress.step("Database cluster", "made", monotonic() - began, str(self.directory.postgres))
        temporal = DevServer(ports, database=self.directory.temporal, binary=binary)
        own = OwnServices(
            settings=self.settings,
            directory=self.directory,
            ports=ports,
            database_url=postgres.url(),
            temporal_address=temporal.address,
            client=client,
        )
        plan = Plan(postgres, temporal, own)
        self._state = _first_state(plan)
        return plan

    async def _come_up(self, client: httpx.AsyncClient) -> Plan:
        """Start everything; at other ports where another program took one after it was looked at."""
        for tries in count(1):
            plan = self._plan(client)
            try:
                await self._bring_up(plan, client)
                return plan
            except PortTaken as taken:
                if tries == PORT_TRIES:
                    raise
                self.progress.say(f"{taken}\nStarting again at other ports.")
                await self._stop_all()
                self._children.clear()
        raise AssertionError

    async def _bring_up(self, plan: Plan, client: httpx.AsyncClient) -> None:
        own, ports = plan.own, plan.own.ports
        await self._guards.enter_async_context(web_ui_guard(ports.temporal_ui, ports.temporal_ui_hidden))
        model = [own.model(own.model_url)] if own.model_url else []
        credentials, _ = await _at_once(self._start_ours(plan), self._start(self._temporal(plan), *model))
        await self._make_demo(own, credentials, client)

    async def _start_ours(self, plan: Plan) -> Credentials:
        """Start what the database's keys are for: workers wait for Temporal and for the API by themselves."""
        await self._start(plan.postgres.service(self.directory.log("postgres")))
        await plan.postgres.ensure_database()
        credentials = await choose_credentials(plan.postgres.url(), self.directory.credentials)
        await _at_once(self._start_api(plan, credentials), self._start(*plan.own.workers(credentials)))
        return credentials

    async def _start_api(self, plan: Plan, credentials: Credentials) -> None:
        await self._migrate(plan)
        await ensure_credentials(plan.postgres.url(), self.directory.credentials, credentials)
        await self._start(plan.own.api(credentials))

    def _temporal(self, plan: Plan) -> Service:
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.directory.root)}
        return plan.temporal.service(self.directory.log("temporal"), environment)

    async def _start(self, *services: Service) -> None:
        children = [Child(service, self.progress, self._save) for service in services]
        self._children.extend(children)
        await _at_once(*(child.start() for child in children))

    async def _migrate(self, plan: Plan) -> None:
        began = monotonic()
        log = self.directory.log("migrate")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                holdfast_command(), "migrate", env=plan.own.database_environment(), stdout=output, stderr=output
            )
            code = await asyncio.wait_for(process.wait(), MIGRATION_SECONDS)
        if code != 0:
            raise ServiceFailed(f"The migration ended with exit code {code}:\n{log.read_text(errors='replace')}")
        self.progress.step("Migrations", "done", monotonic() - began)
        if lost := await asyncio.to_thread(self._lost_keys, plan):
            self.progress.say(f"Warning: {lost} {KEY_LOST}")

    def _lost_keys(self, plan: Plan) -> str | None:
        with psycopg.connect(plan.postgres.url()) as connection:
            return lost_keys(connection, self.directory.secrets_key)

    async def _make_demo(self, own: OwnServices, credentials: Credentials, client: httpx.AsyncClient) -> None:
        began = monotonic()
        demo = DemoAgent(client, api_url=own.api_url, api_key=credentials.api_key)
        try:
            if model := await demo.ensure(own.providers()):
                self._offer(NAME)
                self.progress.step("Agent demo", "ready", monotonic() - began, f"model {model}")
            else:
                self.progress.say("No agent was made: no configured provider lists its models.")
        except (DemoUnavailable, httpx.TransportError) as error:
            self.progress.say(str(error))

    def _offer(self, demo: str) -> None:
        if self._state is not None:
            self._state.demo = demo

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The work's result; None if a signal asked for the end before it was done."""
        task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if task.done():
            return task.result()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return None

    async def _bring_down(self) -> None:
        if self._state is None:
            return
        self._enter(StackPhase.STOPPING)
        began = monotonic()
        self.progress.say("Stopping.")
        await self._stop_all()
        self._enter(StackPhase.STOPPED)
        self.progress.say(f"Stopped in {monotonic() - began:.1f} s. The data stays in {self.directory.root}.")

    async def _stop_all(self) -> None:
        for tier in stop_order(self._children):
            await asyncio.gather(*(child.stop() for child in tier))
        await self._guards.aclose()

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        # Started by `nohup`, the stack is to outlive its terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self._on_signal)

    def _on_signal(self) -> None:
        if not self._stop.is_set():
            self._asked_at = monotonic()
            self._stop.set()
        elif monotonic() - self._asked_at > SAME_REQUEST_SECONDS:
            self.progress.say("Asked again: killing what is left.")
            for child in self._children:
                child.kill()

    def _enter(self, phase: StackPhase) -> StackState:
        assert self._state is not None
        self._state.phase = phase
        self._save()
        return self._state

    def _save(self) -> None:
        if self._state is not None:
            self._state.processes = [child.state for child in self._children]
            write_state(self.directory.state, self._state)


async def _at_once(*works: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of works that go on side by side; the first failure ends them all, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def stop_order(children: list[Child]) -> list[list[Child]]:
    """The order of stopping: who needs others goes before them."""
    last = ("api", "model", "temporal", "postgres")
    workers = [child for child in children if child.service.name not in last]
    return [workers, *([child for child in children if child.service.name == name] for name in last)]


def end_leftovers(before: StackState | None, say: Callable[[str], None]) -> None:
    """End what an earlier stack left behind; PostgreSQL is ended by its own pid file."""
    for left in before.processes if before else []:
        if left.name != "postgres" and (process := _alive(left)) is not None:
            say(f"{left.title} (pid {process.pid}) was left behind by an earlier stack: ending it.")
            end(process, with_signal=signal.SIGTERM, seconds=LEFTOVER_SECONDS)


def _alive(left: ProcessState) -> Process | None:
    return find(left.identity) if left.identity is not None else None


def _first_state(plan: Plan) -> StackState:
    supervisor = identify(os.getpid())
    assert supervisor is not None
    return StackState(
        phase=StackPhase.STARTING,
        supervisor=supervisor,
        started_at=datetime.now(UTC),
        ports=plan.own.ports,
        api_url=plan.own.api_url,
        temporal_address=plan.temporal.address,
        temporal_ui_url=plan.temporal.ui_url,
        database_url=plan.postgres.url(),
        model_url=plan.own.model_url,
    )
