"""Runs turns on a worker, for every runtime alike."""

from collections.abc import Callable, Sequence

from runtimes.base import AgentRuntime
from runtimes.factory import RuntimeFactory
from runtimes.manifests.known import manifest_of
from runtimes.turns import AttemptKey, StopReason, TurnOutcome, TurnRequest
from runtimes.types import ModelEndpoint, Tool, Wire
from services.attempt import AttemptRun, ExecutorLimits, TurnPlan
from services.cancellation import CancellationManager, RunningTurn
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AgentSpec, AttemptOpened, OpenAttempt
from services.providers import ProviderRegistry
from services.tools.gateway import ToolObserver
from services.tools.toolsets import Toolsets
from services.workspaces import Workspaces, make


class AgentExecutorService:
    """Opens an attempt, runs its turn, closes it.

    It owns for all runtimes what no adapter knows: events, cancellation and its deadline, staleness,
    preemption, usage.
    """

    def __init__(
        self,
        *,
        client: ControlPlaneClient,
        runtimes: RuntimeFactory,
        providers: ProviderRegistry,
        toolsets: Toolsets,
        turns: CancellationManager,
        worker_id: str,
        workspaces: Workspaces,
        limits: ExecutorLimits,
    ) -> None:
        self._client = client
        self._runtimes = runtimes
        self._providers = providers
        self._toolsets = toolsets
        self._turns = turns
        self._worker_id = worker_id
        self._workspaces = workspaces
        self._limits = limits

    async def run(self, turn: TurnRequest, key: AttemptKey, why_cancelled: Callable[[], StopReason]) -> TurnOutcome:
        """Run one try at a turn; see `activities.ports.TurnExecutor`."""
        opened = await self._open(turn, key)
        if opened.closed is not None:
            return opened.closed
        with self._turns.running(RunningTurn(turn.execution_id, opened.attempt)) as running:
            attempt = AttemptRun(self._plan(turn, opened), self._client, running, self._limits, why_cancelled)
            return await attempt.run(self)

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
        )
        return await self._client.open_attempt(turn.execution_id, request)

    def _plan(self, turn: TurnRequest, opened: AttemptOpened) -> TurnPlan:
        return TurnPlan(turn, opened, self._workspaces.of(turn.execution_id))

    def runtime(self, name: str) -> AgentRuntime:
        """A fresh runtime, for one turn."""
        return self._runtimes.create_runtime(name, None, self._turns)

    def endpoint(self, agent: AgentSpec) -> ModelEndpoint:
        """Where the agent's model is served; runtimes that speak no wire get no endpoint."""
        if not manifest_of(agent.runtime).wires:
            return ModelEndpoint("", "", Wire.OPENAI, agent.model_id, "")
        return self._providers.resolve(agent.model_id)

    def tools(self, plan: TurnPlan, runtime: AgentRuntime, observer: ToolObserver) -> Sequence[Tool]:
        """The agent's tools, if its runtime takes any."""
        toolsets = plan.opened.agent.toolsets
        if not toolsets or not runtime.supports_tools():
            return ()
        make(plan.workspace)
        return self._toolsets.tools(toolsets, plan.workspace, observer)
