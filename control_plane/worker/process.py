"""What both kinds of worker process share: start, announce, watch, drain, end."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Literal, NoReturn
from uuid import uuid4

import aiohttp
import structlog
import uvloop
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.worker import Worker

from control_plane.settings import Settings
from control_plane.telemetry import configure_logging
from control_plane.temporal import connect
from control_plane.worker.canary import CORE_HEARTBEAT, Canary
from control_plane.worker.health import WorkerHealth
from runtimes.errors import RuntimeFailure
from runtimes.turns import StopReason
from services.cancellation import CancellationManager
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AnnounceWorker

log = structlog.get_logger(__name__)

ANNOUNCE_SECONDS = 10.0
REANNOUNCE_SECONDS = 1.0
#: What a drained worker gets, beyond the turns' grace, to hand its turns back.
HAND_BACK = timedelta(seconds=15)
#: Exit code of a worker whose SDK core has hung.
HUNG = 70


def run_process(settings: Settings, main: Coroutine[Any, Any, None]) -> NoReturn:
    configure_logging(settings.log_level, settings.log_format)
    uvloop.run(main)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """What both kinds of worker share."""

    settings: Settings
    worker_id: str
    temporal: Client
    control_plane: ControlPlaneClient
    http: aiohttp.ClientSession
    stop: asyncio.Event


@asynccontextmanager
async def worker_process(settings: Settings, name: str) -> AsyncGenerator[WorkerProcess]:
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
        yield WorkerProcess(settings, worker_id, temporal, ControlPlaneClient(http), http, stop)


def _http(settings: Settings) -> aiohttp.ClientSession:
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return aiohttp.ClientSession(
        settings.api_url,
        headers={"Authorization": f"Bearer {key}"},
        connector=aiohttp.TCPConnector(limit=settings.worker_slots + 10),
        timeout=aiohttp.ClientTimeout(total=30, sock_connect=5),
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
        slots=process.settings.worker_slots,
        running=0,
    )


async def serve(
    process: WorkerProcess,
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


async def _drain(
    process: WorkerProcess, worker: Worker, announcement: AnnounceWorker, turns: CancellationManager
) -> None:
    log.info("worker drains", worker_id=process.worker_id, running=len(turns))
    shutdown = asyncio.create_task(worker.shutdown())
    await _announce_once(process, announcement.model_copy(update={"draining": True, "running": len(turns)}))
    with suppress(TimeoutError):
        await asyncio.wait_for(turns.idle(), process.settings.worker_grace_seconds)
    turns.stop_all(StopReason.DRAIN)
    await shutdown


async def _announce(process: WorkerProcess, announcement: AnnounceWorker, turns: CancellationManager) -> NoReturn:
    while True:
        heard = await _announce_once(process, announcement.model_copy(update={"running": len(turns)}))
        await asyncio.sleep(ANNOUNCE_SECONDS if heard else REANNOUNCE_SECONDS)


async def _announce_once(process: WorkerProcess, announcement: AnnounceWorker) -> bool:
    try:
        await process.control_plane.announce(announcement)
    except (RuntimeFailure, aiohttp.ClientError, TimeoutError) as error:
        log.warning("announcement failed", error=str(error))
        return False
    return True


def _give_up(problem: str) -> NoReturn:
    log.error("worker has hung and ends itself", problem=problem)
    os._exit(HUNG)
