"""The worker processes: one kind runs turns, the other workflows."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Literal, NoReturn
from uuid import uuid4

import aiohttp
import pydantic
import structlog
import uvloop
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.agent_activities import AgentActivities
from activities.execution_activities import ExecutionActivities
from control_plane.canary import CORE_HEARTBEAT, Canary
from control_plane.gateway import connect
from control_plane.settings import Settings
from control_plane.telemetry import configure_logging
from control_plane.worker_health import WorkerHealth
from runtimes.errors import RuntimeFailure
from runtimes.factory import RuntimeFactory
from runtimes.turns import StopReason
from services.agent_executor import AgentExecutorService
from services.attempt import ExecutorLimits
from services.cancellation import CancellationManager
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.control_stream import ControlStream
from services.control_plane_client.models import AnnounceWorker, ControlCommand, RuntimeAnnouncement
from services.providers import Provider, ProviderRegistry
from services.tools.toolsets import Toolsets
from workflows.agent_execution import AgentExecutionWorkflow
from workflows.queues import WORKFLOW_QUEUE, pool_queue

log = structlog.get_logger(__name__)

ANNOUNCE_SECONDS = 10.0
REANNOUNCE_SECONDS = 1.0
#: A heartbeat's answer is how an activity hears of a cancellation.
HEARTBEAT_THROTTLE = timedelta(seconds=1)
#: After a worker's death its cached workflows wait so long for it.
STICKY_TIMEOUT = timedelta(seconds=2)
#: What a drained worker gets, beyond the turns' grace, to hand its turns back.
HAND_BACK = timedelta(seconds=15)
#: Exit code of a worker whose SDK core has hung.
HUNG = 70

PASSED_THROUGH = ("workflows", "activities", "runtimes", "pydantic", "pydantic_core", "annotated_types")


def run_runtime_worker(settings: Settings, pool: str) -> None:
    """Serve a pool's turns until SIGTERM; then take nothing new, give turns their grace, hand the rest back."""
    _run(settings, _serve_turns(settings, pool))


def run_workflow_worker(settings: Settings) -> None:
    """Serve workflows and bookkeeping until SIGTERM."""
    _run(settings, _serve_workflows(settings))


def _run(settings: Settings, main: Coroutine[Any, Any, None]) -> NoReturn:
    configure_logging(settings.log_level, settings.log_format)
    uvloop.run(main)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@dataclass(frozen=True, slots=True)
class _Process:
    """What both kinds of worker share."""

    settings: Settings
    worker_id: str
    temporal: Client
    control_plane: ControlPlaneClient
    http: aiohttp.ClientSession
    stop: asyncio.Event


@asynccontextmanager
async def _process(settings: Settings, name: str) -> AsyncGenerator[_Process]:
    worker_id = f"{name}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    runtime = Runtime(
        telemetry=TelemetryConfig(logging=LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"))),
        worker_heartbeat_interval=CORE_HEARTBEAT,
    )
    async with _http(settings) as http:
        temporal = await connect(lazy=False, identity=worker_id, runtime=runtime)
        yield _Process(settings, worker_id, temporal, ControlPlaneClient(http), http, stop)


def _http(settings: Settings) -> aiohttp.ClientSession:
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return aiohttp.ClientSession(
        settings.api_url,
        headers={"Authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=settings.worker_slots + 10),
        timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
    )


async def _serve_turns(settings: Settings, pool: str) -> None:
    async with _process(settings, pool) as process, AsyncExitStack() as stack:
        turns = CancellationManager()
        factory = RuntimeFactory()
        stack.push_async_callback(factory.close)
        served = [runtime for runtime in factory.installed() if runtime.name == pool] or factory.installed()
        for runtime in served:
            _preload(factory, runtime.name)
        providers = _providers(settings)
        worker = _turn_worker(process, pool, _executor(process, factory, providers, turns))
        announced = {
            "runtimes": [RuntimeAnnouncement(**runtime._asdict()) for runtime in served],
            "providers": providers.announce(),
        }
        announcement = _announcement(process, pool, pool_queue(pool), "runtime").model_copy(update=announced)
        stream = ControlStream(process.http, process.worker_id)
        tasks = [stream.run(lambda command: _obey(turns, process.stop, command))]
        await _serve(process, worker, announcement, turns, tasks)


async def _serve_workflows(settings: Settings) -> None:
    async with _process(settings, "workflows") as process:
        bookkeeping = ExecutionActivities(process.control_plane)
        worker = Worker(
            process.temporal,
            task_queue=WORKFLOW_QUEUE,
            workflows=[AgentExecutionWorkflow],
            activities=[bookkeeping.admit_execution, bookkeeping.finish_execution],
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
            ),
            workflow_failure_exception_types=[pydantic.ValidationError],
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(),
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            graceful_shutdown_timeout=HAND_BACK,
        )
        announcement = _announcement(process, "workflows", WORKFLOW_QUEUE, "workflow")
        await _serve(process, worker, announcement, CancellationManager(), [])


def _turn_worker(process: _Process, pool: str, executor: AgentExecutorService) -> Worker:
    settings = process.settings
    grace = timedelta(seconds=settings.worker_grace_seconds + settings.cancel_deadline_seconds)
    return Worker(
        process.temporal,
        task_queue=pool_queue(pool),
        activities=[AgentActivities(executor).execute_agent_llm],
        max_concurrent_activities=settings.worker_slots,
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=grace + HAND_BACK,
    )


def _executor(
    process: _Process, factory: RuntimeFactory, providers: ProviderRegistry, turns: CancellationManager
) -> AgentExecutorService:
    settings = process.settings
    return AgentExecutorService(
        client=process.control_plane,
        runtimes=factory,
        providers=providers,
        toolsets=Toolsets(settings.python_tool_modules),
        turns=turns,
        worker_id=process.worker_id,
        workspaces=settings.workspace_dir,
        limits=ExecutorLimits(
            cancel_deadline=settings.cancel_deadline_seconds, stale_after=settings.stale_after_seconds
        ),
    )


def _providers(settings: Settings) -> ProviderRegistry:
    return ProviderRegistry(
        Provider(
            name=name,
            base_url=provider.base_url,
            api_key=provider.api_key.get_secret_value() if provider.api_key else None,
            wire=provider.wire,
            models=tuple(provider.models),
        )
        for name, provider in settings.providers.items()
    )


def _preload(factory: RuntimeFactory, name: str) -> None:
    """The first turn does not wait for an import; what cannot be imported fails that turn, with its remedy."""
    try:
        factory.load(name)
    except RuntimeFailure as failure:
        log.warning("runtime cannot be used", runtime=name, error=failure.message, hint=failure.hint)


def _announcement(process: _Process, pool: str, queue: str, kind: Literal["runtime", "workflow"]) -> AnnounceWorker:
    return AnnounceWorker(
        worker_id=process.worker_id,
        pool=pool,
        task_queue=queue,
        kind=kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version("holdfast"),
        slots=process.settings.worker_slots,
        running=0,
    )


async def _serve(
    process: _Process,
    worker: Worker,
    announcement: AnnounceWorker,
    turns: CancellationManager,
    tasks: Sequence[Coroutine[Any, Any, Any]],
) -> None:
    """Run the worker until it is told to stop or fails, then drain it."""
    canary = Canary(process.temporal, process.worker_id, lambda: len(turns))
    serving = asyncio.create_task(worker.run())
    background = [
        asyncio.create_task(task) for task in (*tasks, _announce(process, announcement, turns), canary.watch(_give_up))
    ]
    log.info("worker ready", worker_id=process.worker_id, task_queue=announcement.task_queue)
    async with WorkerHealth(process.settings.worker_health_port, process.stop):
        stopped = asyncio.create_task(process.stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await _drain(process, worker, announcement, turns)
    for task in (*background, stopped):
        task.cancel()
    await asyncio.gather(*background, stopped, return_exceptions=True)
    await serving


async def _drain(process: _Process, worker: Worker, announcement: AnnounceWorker, turns: CancellationManager) -> None:
    log.info("worker drains", worker_id=process.worker_id, running=len(turns))
    shutdown = asyncio.create_task(worker.shutdown())
    await _announce_once(process, announcement.model_copy(update={"draining": True, "running": len(turns)}))
    deadline = asyncio.get_running_loop().time() + process.settings.worker_grace_seconds
    while len(turns) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.05)
    turns.stop_all(StopReason.DRAIN)
    await shutdown


async def _announce(process: _Process, announcement: AnnounceWorker, turns: CancellationManager) -> NoReturn:
    while True:
        heard = await _announce_once(process, announcement.model_copy(update={"running": len(turns)}))
        await asyncio.sleep(ANNOUNCE_SECONDS if heard else REANNOUNCE_SECONDS)


async def _announce_once(process: _Process, announcement: AnnounceWorker) -> bool:
    try:
        await process.control_plane.announce(announcement)
    except (RuntimeFailure, aiohttp.ClientError, TimeoutError) as error:
        log.warning("announcement failed", error=str(error))
        return False
    return True


def _obey(turns: CancellationManager, stop: asyncio.Event, command: ControlCommand) -> None:
    if command.reason is StopReason.DRAIN and not command.execution_id:
        stop.set()
    else:
        turns.stop(command.execution_id, command.attempt, command.reason)


def _give_up(problem: str) -> NoReturn:
    log.error("worker has hung and ends itself", problem=problem)
    os._exit(HUNG)
