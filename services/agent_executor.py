"""Runs turns on a worker, for every runtime alike."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from runtimes.base import AgentRuntime
from runtimes.errors import RuntimeFailure, RuntimeUnfit
from runtimes.factory import RuntimeFactory
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.secret_references import secret_named
from runtimes.turns import AttemptKey, StopReason, TurnOutcome, TurnRequest
from runtimes.types import ModelEndpoint, RuntimeExecutionContext, Tool, Wire
from services.agent_settings import read_settings
from services.attempt import AttemptRun, AttemptScope, ExecutorLimits, Prepared, TurnPlan
from services.cancellation import CancellationManager, RunningTurn
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AgentSpec, AttemptOpened, ChildState, OpenAttempt, StartChild
from services.metrics import TurnMetrics
from services.model_gateway.parameters import unasked
from services.model_gateway.policy import ModelPolicy
from services.model_gateway.server import ModelGateway
from services.model_gateway.sessions import ModelSession
from services.secret_places import references_in, settings_in
from services.snapshots import Snapshots
from services.tools.absent import Absent
from services.tools.configuration import SecretReference
from services.tools.gateway import ToolGateway
from services.tools.offer import restored, written
from services.tools.own_tools import JournalledTools, own_tools
from services.tools.place import TurnPlace
from services.tools.secret_values import SecretValues, WorkerSecrets
from services.tools.spec import ToolSpec
from services.tools.toolsets import Toolsets
from services.tracing import traced_turn
from services.workspaces import Workspaces, make


@dataclass(frozen=True, slots=True)
class _Model:
    """The way to the model, and what is known of the last call; runtimes that speak no wire have none."""

    endpoint: ModelEndpoint
    session: ModelSession | None = None

    def failure(self) -> RuntimeFailure | None:
        return self.session.failure if self.session else None

    def name(self) -> str:
        return self.session.model if self.session else self.endpoint.model


class AgentExecutorService:
    """Opens an attempt, runs its turn, closes it.

    It owns for all runtimes what no adapter knows: events, cancellation and its deadline, staleness,
    preemption, usage, the journal.
    """

    def __init__(
        self,
        *,
        client: ControlPlaneClient,
        runtimes: RuntimeFactory,
        models: ModelGateway,
        toolsets: Toolsets,
        turns: CancellationManager,
        worker_id: str,
        workspaces: Workspaces,
        limits: ExecutorLimits,
        metrics: TurnMetrics,
        captures_content: bool = False,
        secrets: WorkerSecrets | None = None,
    ) -> None:
        self._client = client
        self._runtimes = runtimes
        self._models = models
        self._toolsets = toolsets
        self._turns = turns
        self._worker_id = worker_id
        self._workspaces = workspaces
        self._limits = limits
        self._metrics = metrics
        self._captures_content = captures_content
        self._secrets_of_worker = secrets or WorkerSecrets()

    async def run(self, turn: TurnRequest, key: AttemptKey, why_cancelled: Callable[[], StopReason]) -> TurnOutcome:
        """Run one try at a turn; see `activities.ports.TurnExecutor`."""
        opened = await self._open(turn, key)
        if opened.closed is not None:
            return opened.closed
        turn = turn.model_copy(update={"turn": opened.turn or turn.turn})
        structlog.contextvars.bind_contextvars(attempt=opened.attempt)
        attempt = RunningTurn(turn.execution_id, opened.attempt, opened.agent.runtime)
        tracing = traced_turn(turn, opened, captures_content=self._captures_content)
        with _failing_for_good(opened), self._turns.running(attempt) as running, tracing as turn_trace:
            plan = TurnPlan(turn, opened, self._workspaces.of(turn.execution_id), turn_trace)
            run = AttemptRun(plan, self._client, running, self._limits, why_cancelled, self._metrics).run(self)
            outcome = await self._metrics.attempt(opened.agent.runtime, run)
        return outcome.model_copy(update={"turn": turn.turn, "is_other": opened.is_other})

    async def _open(self, turn: TurnRequest, key: AttemptKey) -> AttemptOpened:
        request = OpenAttempt(
            organization_id=turn.organization_id,
            turn=turn.turn,
            dispatch=turn.dispatch,
            try_number=key.try_number,
            token=key.token,
            worker_id=self._worker_id,
            message_id=turn.message_id,
            prompt=turn.prompt,
            message_key=turn.message_key,
            run_id=key.run_id or turn.run_id,
            started_at=key.started_at,
        )
        return await self._client.open_attempt(turn.execution_id, request)

    def runtime(self, name: str) -> AgentRuntime:
        """A fresh runtime, for one run of a turn."""
        return self._runtimes.create_runtime(name, None, self._turns)

    @asynccontextmanager
    async def prepared(self, scope: AttemptScope) -> AsyncGenerator[Prepared]:
        """The turn's context: its model behind the model gateway, its tools behind the tool gateway.

        Raises:
            RuntimeUnfit: the runtime, as it is on this worker, does not take the agent's settings.
        """
        manifest = self._fitting(scope.plan.opened.agent)
        snapshots = Snapshots(scope.plan.workspace, scope.store.keep_blob, scope.store.blob)
        async with AsyncExitStack() as stack:
            model = await self._model(scope, manifest, stack)
            secrets = await self._secrets(scope)
            tools = await self._tools(scope, manifest, snapshots, secrets, stack)
            context = self._context(scope, model.endpoint, tools, snapshots)
            context = replace(context, configuration=with_secrets(context.configuration, manifest, secrets))
            yield Prepared(context, model.failure, model.name, self._toolsets.processes)

    def _fitting(self, agent: AgentSpec) -> RuntimeManifest:
        manifest = self._runtimes.manifest(agent.runtime)
        if problems := manifest.problems(agent.configuration.get("runtime_config") or {}):
            raise RuntimeUnfit(f"Runtime '{agent.runtime}' does not take the agent's settings. {' '.join(problems)}")
        return manifest

    async def _model(self, scope: AttemptScope, manifest: RuntimeManifest, stack: AsyncExitStack) -> _Model:
        agent = scope.plan.opened.agent
        if not manifest.wires:
            return _Model(ModelEndpoint("", "", Wire.OPENAI, agent.model_id, ""))
        policy = read_settings(ModelPolicy, agent.configuration)
        session = ModelSession(
            journal=scope.desk.journal,
            budget=scope.desk.budget,
            control=scope.desk.control,
            model_id=agent.model_id,
            policy=policy,
            cache=scope.store if policy.response_cache else None,
            on_activity=scope.touch,
            pause_on_budget=scope.settings.on_budget == "pause",
            trace=scope.plan.trace,
            calls=scope.desk,
            unasked=unasked(agent.configuration) if not manifest.runs_code(agent.configuration) else frozenset(),
        )
        endpoint = await stack.enter_async_context(self._models.session(session))
        scope.plan.trace.model_known(endpoint)
        return _Model(endpoint, session)

    async def _tools(
        self,
        scope: AttemptScope,
        manifest: RuntimeManifest,
        snapshots: Snapshots,
        secrets: SecretValues,
        stack: AsyncExitStack,
    ) -> Sequence[Tool]:
        opened = scope.plan.opened
        if not opened.agent.toolsets and not manifest.own_toolsets:
            return ()
        if opened.attempt > 1:
            await snapshots.restore(opened.workspace)
        make(scope.plan.workspace)
        ours = [toolset for toolset in opened.agent.toolsets if toolset.get("type") not in manifest.own_toolsets]
        absent: list[Absent] | None = None if opened.offered is None else []
        specs = await stack.enter_async_context(self._toolsets.open(ours, self._place(scope, secrets), absent))
        offered = await self._offered(scope, specs, absent or ())
        return ToolGateway(offered, scope.desk, snapshots.keep, self._toolsets.processes).tools()

    async def _offered(
        self, scope: AttemptScope, specs: Sequence[ToolSpec], absent: Sequence[Absent]
    ) -> Sequence[ToolSpec]:
        """The tools as the turn's first attempt has offered them; they are an input of the turn."""
        name = scope.plan.opened.offered
        if name is not None:
            return restored(await scope.store.blob(name), specs, absent)
        await scope.store.offer(written(specs))
        return specs

    async def _secrets(self, scope: AttemptScope) -> SecretValues:
        """Ask for the secrets that the attempt's tools and runtime need, where they need any."""
        agent = scope.plan.opened.agent
        if not references_in(agent.toolsets, agent.configuration):
            return SecretValues()
        given = await scope.store.secrets()
        own = self._secrets_of_worker.of(scope.plan.turn.organization_id, is_own=given.is_own)
        return SecretValues(given.values, given.broken, own)

    def _place(self, scope: AttemptScope, secrets: SecretValues) -> TurnPlace:
        turn = scope.plan.turn
        return TurnPlace(
            workspace=scope.plan.workspace,
            execution_id=turn.execution_id,
            organization_id=turn.organization_id,
            turn=turn.turn,
            attempt=scope.plan.opened.attempt,
            start_child=partial(self._start_child, turn),
            control=scope.desk.control,
            secrets=secrets,
        )

    async def _start_child(self, turn: TurnRequest, key: str, agent: str, prompt: str) -> ChildState:
        request = StartChild(organization_id=turn.organization_id, key=key, agent=agent, prompt=prompt)
        return await self._client.start_child(turn.execution_id, request)

    def _context(
        self, scope: AttemptScope, endpoint: ModelEndpoint, tools: Sequence[Tool], snapshots: Snapshots
    ) -> RuntimeExecutionContext:
        turn, opened = scope.plan.turn, scope.plan.opened
        return RuntimeExecutionContext(
            execution_id=turn.execution_id,
            organization_id=turn.organization_id,
            agent_id=opened.agent.id,
            session_id=opened.session_id,
            turn=turn.turn,
            attempt=opened.attempt,
            prompt=opened.prompt,
            model=endpoint,
            workspace=scope.plan.workspace,
            system_prompt=opened.agent.system_prompt,
            history=opened.history,
            tools=tools,
            configuration=opened.agent.configuration,
            told=opened.told,
            output_schema=opened.output_schema or scope.settings.output_schema,
            toolsets=opened.agent.toolsets,
            modules=self._toolsets.allowed_modules,
            network=self._toolsets.network,
            most=self._toolsets.most,
            own_tools=JournalledTools(scope.desk, snapshots.keep, own_tools(opened.agent.toolsets)),
            store=scope.store,
        )


def with_secrets(
    configuration: Mapping[str, Any], manifest: RuntimeManifest, secrets: SecretValues
) -> Mapping[str, Any]:
    """The configuration with secrets in the place of references, in settings that its runtime says are secret.

    Raises:
        SecretMissing, SecretUnusable: one cannot be used.
    """
    places = settings_in(configuration, manifest.secret_settings)
    names = {place.key: name for place in places if (name := secret_named(place.value)) is not None}
    if not names:
        return configuration
    values = {key: secrets.value(SecretReference(secret=name)) for key, name in names.items()}
    return {**configuration, "runtime_config": {**configuration["runtime_config"], **values}}


@contextmanager
def _failing_for_good(opened: AttemptOpened) -> Generator[None]:
    try:
        yield
    except RuntimeFailure as failure:
        failure.final = opened.last_try
        raise
