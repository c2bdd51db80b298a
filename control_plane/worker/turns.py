"""The runtime worker: runs the turns of one pool. It imports no workflow code."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

from temporalio.worker import PollerBehaviorAutoscaling, Worker

from activities.agent_activities import AgentActivities
from activities.queues import pool_queue
from control_plane.frameworks import Frameworks
from control_plane.settings import Settings
from control_plane.tracing import Tracing
from control_plane.worker.metrics import WorkerLoad
from control_plane.worker.process import HAND_BACK, WorkerProcess, announcement_of, run_process, serve, worker_process
from control_plane.worker.served import loaded_runtimes, served_runtimes
from control_plane.worker.slots import available_memory, capacity_of
from control_plane.worker.tuner import tuner_of
from control_plane.worker.turn_log import LoggedTurns
from control_plane.worker.versions import deployment_of
from runtimes.factory import RuntimeFactory
from runtimes.frameworks import FrameworksConfig
from runtimes.sandbox.command_line import Limits
from services.agent_executor import AgentExecutorService
from services.attempt import ExecutorLimits
from services.cancellation import CancellationManager
from services.control_plane_client.control_stream import ControlStream
from services.control_plane_client.models import DRAIN, ControlCommand, RuntimeAnnouncement
from services.dialects import Dialect
from services.egress import Egress
from services.metrics import TurnMetrics
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from services.sandbox.sandbox import Sandbox
from services.tools.secret_values import WorkerSecrets
from services.tools.toolsets import Toolsets
from services.workspaces import Workspaces

#: In traces.
SERVICE = "holdfast-worker"
#: A heartbeat's answer is how an activity hears of a cancellation.
HEARTBEAT_THROTTLE = timedelta(seconds=1)
#: A worker that freezes takes a turn with each of its open polls: as few as the load needs.
POLLERS = PollerBehaviorAutoscaling(initial=1)


def run_runtime_worker(settings: Settings, pool: str, runtimes: Sequence[str]) -> None:
    """Serve a pool's turns until SIGTERM; then take nothing new, give turns their grace, hand the rest back.

    Raises:
        RuntimeUnknown, RuntimeNotInstalled: one of the runtimes is not known or not installed here, or none loads.
    """
    run_process(settings, SERVICE, partial(_serve_turns, settings, pool, runtimes), **{"holdfast.pool": pool})


async def _serve_turns(settings: Settings, pool: str, runtimes: Sequence[str], traces: Tracing) -> None:
    frameworks = Frameworks(settings.frameworks_file)
    frameworks.log_findings()
    factory = RuntimeFactory(frameworks.registry)
    free = available_memory()
    served = loaded_runtimes(factory, served_runtimes(factory, pool, runtimes))
    names = [runtime.name for runtime in served]
    capacity = capacity_of(settings, map(factory.manifest, names), free)

    def resize(_: FrameworksConfig) -> None:
        present = [frameworks.registry.get(name) or factory.manifest(name) for name in names]
        capacity.change(capacity_of(settings, present, free).turns)

    async with worker_process(settings, pool, capacity, traces) as process, AsyncExitStack() as stack:
        turns = CancellationManager()
        process.registry.register(WorkerLoad(pool, process.capacity, turns))
        stack.push_async_callback(factory.close)
        providers = _providers(settings)
        toolsets = _toolsets(settings, capacity.most)
        workspaces = Workspaces(settings.workspace_dir)
        models = ModelGateway(providers)
        stack.push_async_callback(models.close)
        await models.start()
        executor = _executor(process, factory, models, toolsets, turns, workspaces)
        worker = _turn_worker(process, pool, executor, turns)
        announced = {
            "runtimes": [RuntimeAnnouncement(**runtime._asdict()) for runtime in served],
            "providers": providers.announce(),
            "tool_modules": toolsets.allowed_modules,
        }
        announcement = announcement_of(process, pool, pool_queue(pool), "runtime").model_copy(update=announced)
        stream = ControlStream(process.http, process.worker_id)
        tasks = [
            stream.run(lambda command: _obey(turns, process.stop, command)),
            workspaces.sweep_now_and_then(),
            frameworks.watch(resize),
        ]
        await serve(process, worker, announcement, turns, tasks)


def _turn_worker(
    process: WorkerProcess, pool: str, executor: AgentExecutorService, turns: CancellationManager
) -> Worker:
    settings = process.settings
    grace = timedelta(seconds=settings.worker_grace_seconds + settings.cancel_deadline_seconds)
    return Worker(
        process.temporal,
        task_queue=pool_queue(pool),
        activities=[AgentActivities(LoggedTurns(executor)).execute_agent_llm],
        tuner=tuner_of(process.capacity, turns),
        deployment_config=deployment_of(settings, pool_queue(pool)),
        activity_task_poller_behavior=POLLERS,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        graceful_shutdown_timeout=grace + HAND_BACK,
    )


def _executor(
    process: WorkerProcess,
    factory: RuntimeFactory,
    models: ModelGateway,
    toolsets: Toolsets,
    turns: CancellationManager,
    workspaces: Workspaces,
) -> AgentExecutorService:
    settings = process.settings
    return AgentExecutorService(
        client=process.control_plane,
        runtimes=factory,
        models=models,
        toolsets=toolsets,
        turns=turns,
        worker_id=process.worker_id,
        workspaces=workspaces,
        limits=ExecutorLimits(
            cancel_deadline=settings.cancel_deadline_seconds, stale_after=settings.stale_after_seconds
        ),
        metrics=TurnMetrics(process.registry),
        captures_content=process.traces.captures_content,
        secrets=_secrets(settings),
    )


def _secrets(settings: Settings) -> WorkerSecrets:
    values = {name: value.get_secret_value() for name, value in settings.worker_secrets.items()}
    return WorkerSecrets(values, settings.worker_secrets_for)


def _toolsets(settings: Settings, slots: int) -> Toolsets:
    most = Limits(
        settings.sandbox_cpu_seconds,
        settings.sandbox_memory_mb,
        settings.sandbox_processes,
        settings.sandbox_file_size_mb,
        settings.sandbox_disk_mb,
        settings.sandbox_files,
    )
    paths = [Path(path) for path in settings.sandbox_paths]
    sandbox = Sandbox(paths, network=settings.sandbox_network, most=most)
    egress = Egress(settings.web_allow)
    return Toolsets(
        settings.python_tool_modules,
        slots=slots,
        sandbox=sandbox,
        egress=egress,
        mcp_commands=settings.mcp_commands,
    )


def _providers(settings: Settings) -> ProviderRegistry:
    return ProviderRegistry(
        Provider(
            name=name,
            base_url=provider.base_url,
            api_key=provider.api_key.get_secret_value() if provider.api_key else None,
            wire=provider.wire,
            models=tuple(provider.models),
            dialect=Dialect(provider.stream_options, provider.output_limit, provider.system_role),
        )
        for name, provider in settings.providers.items()
    )


def _obey(turns: CancellationManager, stop: asyncio.Event, command: ControlCommand) -> None:
    if command == DRAIN:
        stop.set()
    else:
        turns.stop(command.execution_id, command.attempt, command.reason)
