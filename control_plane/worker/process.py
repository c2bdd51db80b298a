"""What both kinds of worker process share: start, announce, watch, drain, end."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Literal, NoReturn, TypeVar
from uuid import uuid4

import aiohttp
import structlog
from prometheus_client import CollectorRegistry
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError
from temporalio.worker import Worker

from control_plane.metrics import new_registry
from control_plane.settings import Settings
from control_plane.telemetry import configure_logging
from control_plane.temporal import connect_patiently, namespace_owner
from control_plane.tracing import Tracing, tracing
from control_plane.worker.canary import CORE_HEARTBEAT, Canary
from control_plane.worker.event_loop import run_whole
from control_plane.worker.health import WorkerHealth
from control_plane.worker.slots import Capacity, available_memory, memory_limit
from control_plane.worker.versions import deployment_name
from control_plane.worker.watchdog import HUNG, Watchdog
from runtimes.errors import RuntimeFailure, WorkerRefused
from runtimes.turns import StopReason
from services.cancellation import CancellationManager
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AnnounceWorker, WorkerAnnounced
from services.control_plane_client.proven_connections import proving

log = structlog.get_logger(__name__)

T = TypeVar("T")

ANNOUNCE_SECONDS = 10.0
REANNOUNCE_SECONDS = 1.0
#: Seconds between two tries of a new worker: it may have been started together with the API.
REPORT_SECONDS = 0.5
#: What a drained worker gets, beyond the turns' grace, to hand its turns back.
HAND_BACK = timedelta(seconds=15)
#: What keeps the API from hearing of a worker.
UNHEARD = (RuntimeFailure, aiohttp.ClientError, TimeoutError)


class _StoppedEarly(Exception):
    """The worker was told to stop before it took any work."""


def run_process(
    settings: Settings, service: str, main: Callable[[Tracing], Coroutine[Any, Any, None]], **about: str
) -> NoReturn:
    """Run a worker to its end; `service` and `about` say in traces what it is.

    Raises:
        WorkerRefused: the API does not accept its key.
        TemporalUnreachable: Temporal did not come for too long.
        SettingsInvalid: Temporal's settings cannot be used.
    """
    configure_logging(settings.log_level, settings.log_format)
    with suppress(_StoppedEarly), tracing(service, **about) as traces:
        run_whole(main(traces))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@dataclass
class Refusals:
    """What the API says to a worker whose key it does not accept; the first one stops it."""

    stop: asyncio.Event
    first: WorkerRefused | None = None

    def add(self, refusal: WorkerRefused) -> None:
        """Stop taking work."""
        if self.first is None:
            self.first = refusal
            log.error("the API refuses this worker: it takes no more work", error=refusal.message, hint=refusal.hint)
            self.stop.set()


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """What both kinds of worker share."""

    settings: Settings
    worker_id: str
    capacity: Capacity
    temporal: Client
    control_plane: ControlPlaneClient
    http: aiohttp.ClientSession
    stop: asyncio.Event
    refusals: Refusals
    registry: CollectorRegistry
    #: Set from when the worker takes work.
    at_work: asyncio.Event
    traces: Tracing


@asynccontextmanager
async def worker_process(
    settings: Settings, name: str, capacity: Capacity, traces: Tracing
) -> AsyncGenerator[WorkerProcess]:
    worker_id = f"{name}-{uuid4().hex[:12]}"
    stop, at_work = asyncio.Event(), asyncio.Event()
    refusals = Refusals(stop)
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    runtime = Runtime(
        telemetry=TelemetryConfig(logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"))),
        worker_heartbeat_interval=CORE_HEARTBEAT,
    )
    registry = new_registry("worker", settings.build_id)
    health = WorkerHealth(settings.worker_health_host, settings.worker_health_port, at_work, stop, registry)
    async with _http(settings, capacity.most) as http, health:
        connecting = connect_patiently(worker_id, runtime, log.warning, traces.plugins())
        temporal = await _unless_stopped(stop, connecting)
        control_plane = ControlPlaneClient(http, holds_for=settings.stale_after_seconds, refused=refusals.add)
        yield WorkerProcess(
            settings, worker_id, capacity, temporal, control_plane, http, stop, refusals, registry, at_work, traces
        )


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        return task.result()
    task.cancel()
    raise _StoppedEarly


def _http(settings: Settings, slots: int) -> aiohttp.ClientSession:
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    secret = settings.identity_secret
    return aiohttp.ClientSession(
        settings.api_url,
        headers={"Authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=slots + 10),
        timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
        trace_configs=[proving(settings.api_url, secret.get_secret_value())] if secret else [],
    )


def announcement_of(
    process: WorkerProcess, pool: str, queue: str, kind: Literal["runtime", "workflow"]
) -> AnnounceWorker:
    return AnnounceWorker(
        worker_id=process.worker_id,
        pool=pool,
        task_queue=queue,
        kind=kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version("holdfast"),
        slots=process.capacity.room(0),
        running=0,
        memory_limit=memory_limit(),
        deployment=deployment_name(process.settings, queue),
        build_id=process.settings.build_id,
    )


async def serve(
    process: WorkerProcess,
    worker: Worker,
    announcement: AnnounceWorker,
    turns: CancellationManager,
    tasks: Sequence[Coroutine[Any, Any, Any]],
) -> None:
    """Run the worker, once the API has accepted it, until it is told to stop or fails; then drain it.

    Raises:
        WorkerRefused: the API does not accept the worker's key, or no longer.
    """
    told = await _unless_stopped(process.stop, _report(process, announcement))
    await _check_namespace(process, told.installation_id)
    canary = Canary(process.temporal, process.worker_id, lambda: len(turns))
    serving = asyncio.create_task(worker.run())
    watching = (_announce(process, announcement, turns), canary.watch(_give_up), Watchdog().run())
    background = [asyncio.create_task(task) for task in (*tasks, *watching)]
    log.info("worker ready", worker_id=process.worker_id, task_queue=announcement.task_queue, slots=announcement.slots)
    process.at_work.set()
    stopped = asyncio.create_task(process.stop.wait())
    await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
    await _drain(process, worker, announcement, turns)
    for task in (*background, stopped):
        task.cancel()
    await asyncio.gather(*background, stopped, return_exceptions=True)
    await serving
    if process.refusals.first is not None:
        raise process.refusals.first


async def _check_namespace(process: WorkerProcess, installation_id: str) -> None:
    """Leave a namespace alone that serves another installation than the worker's API."""
    try:
        owner = await namespace_owner(process.temporal)
    except RPCError as error:
        log.warning("Temporal does not say which installation it serves", error=error.message)
        return
    if owner is not None and owner != installation_id:
        raise WorkerRefused(
            f"It belongs to the installation {installation_id}, but Temporal's namespace"
            f" '{process.temporal.namespace}' serves another one, {owner}.",
            hint="Give the worker the same TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE as its API.",
        )


async def _report(process: WorkerProcess, announcement: AnnounceWorker) -> WorkerAnnounced:
    """Announce the worker for the first time, however long the API is away."""
    told = False
    while True:
        try:
            return await process.control_plane.announce(announcement)
        except WorkerRefused:
            raise
        except UNHEARD as error:
            if not told:
                log.warning("waiting for the API", api_url=process.settings.api_url, error=str(error))
            told = True
        await asyncio.sleep(REPORT_SECONDS)


async def _drain(
    process: WorkerProcess, worker: Worker, announcement: AnnounceWorker, turns: CancellationManager
) -> None:
    log.info("worker drains", worker_id=process.worker_id, running=len(turns))
    shutdown = asyncio.create_task(worker.shutdown())
    await _announce_once(process, _as_it_is(process, announcement, turns).model_copy(update={"draining": True}))
    with suppress(TimeoutError):
        await asyncio.wait_for(turns.idle(), process.settings.worker_grace_seconds)
    turns.stop_all(StopReason.DRAIN)
    await shutdown


async def _announce(process: WorkerProcess, announcement: AnnounceWorker, turns: CancellationManager) -> NoReturn:
    while True:
        heard = await _announce_once(process, _as_it_is(process, announcement, turns))
        await asyncio.sleep(ANNOUNCE_SECONDS if heard else REANNOUNCE_SECONDS)


def _as_it_is(process: WorkerProcess, announcement: AnnounceWorker, turns: CancellationManager) -> AnnounceWorker:
    running = turns.runtimes()
    slots = len(running) + process.capacity.room(process.capacity.taken(running))
    used = max(0, announcement.memory_limit - available_memory())
    return announcement.model_copy(update={"running": len(running), "slots": slots, "memory_used": used})


async def _announce_once(process: WorkerProcess, announcement: AnnounceWorker) -> bool:
    try:
        told = await process.control_plane.announce(announcement)
    except WorkerRefused as refusal:
        process.refusals.add(refusal)
        return False
    except UNHEARD as error:
        log.warning("announcement failed", error=str(error))
        return False
    if told.drain:
        process.stop.set()
    return True


def _give_up(problem: str) -> NoReturn:
    log.error("worker has hung and ends itself", problem=problem)
    os._exit(HUNG)
