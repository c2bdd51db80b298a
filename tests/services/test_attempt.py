"""One attempt, seen from the control plane that it reports to."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from runtimes.base import AgentRuntime, BaseRuntime
from runtimes.errors import (
    AttemptFenced,
    BudgetExceeded,
    ModelRateLimited,
    OutputInvalid,
    RuntimeCrashed,
    RuntimeFailure,
    RuntimeStalled,
)
from runtimes.manifests.scripted import SCRIPTED
from runtimes.scripted_runtime import ScriptedRuntime
from runtimes.turns import StopReason, TurnOutcome, TurnRequest, TurnStatus
from runtimes.types import (
    FinishReason,
    ModelEndpoint,
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    TurnFinished,
    Usage,
    Wire,
)
from services.attempt import AttemptRun, AttemptScope, ExecutorLimits, Prepared, TurnPlan
from services.bounded.process import BoundedProcesses
from services.cancellation import RunningTurn
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AgentSpec, AppendEvents, AttemptEnd, AttemptOpened, CloseAttempt
from services.metrics import TurnMetrics

NOTHING = Usage()


class RecordingControlPlane(ControlPlaneClient):
    """Keeps what it is told; `refusal` is raised at every append."""

    def __init__(self) -> None:
        super().__init__(aiohttp.ClientSession())
        self.appended: list[AppendEvents] = []
        self.closed: list[CloseAttempt] = []
        self.refusal: RuntimeFailure | None = None

    async def append(self, execution_id: str, attempt: int, request: AppendEvents) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.appended.append(request)

    async def close(self, execution_id: str, attempt: int, request: CloseAttempt) -> None:
        self.closed.append(request)


class StubbornRuntime(BaseRuntime):
    """Ends only when it wants to, whoever cancels it."""

    manifest = SCRIPTED

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        yield TextDelta("begun")
        for _ in range(3):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue
        yield TurnFinished("late")


class FailingRuntime(BaseRuntime):
    """Raises what a framework might."""

    manifest = SCRIPTED

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        yield TextDelta("begun")
        if context.prompt == "limited":
            raise ModelRateLimited("Too many requests.", retry_after=7)
        if context.prompt == "cancelled":
            raise asyncio.CancelledError
        raise ValueError("surprise: \udcff")


class Bench:
    """Runs attempts of one runtime."""

    def __init__(self, tmp_path: Path, runtime: BaseRuntime, control_plane: RecordingControlPlane) -> None:
        self.control_plane = control_plane
        self._runtime = runtime
        self.workspace = tmp_path / "workspace"
        self.workspace.mkdir()
        self.running = RunningTurn("execution", 1)
        self.model_failure: RuntimeFailure | None = None
        self.metrics = TurnMetrics(CollectorRegistry())

    def runtime(self, name: str) -> AgentRuntime:
        return self._runtime

    @asynccontextmanager
    async def prepared(self, scope: AttemptScope) -> AsyncGenerator[Prepared]:
        opened = scope.plan.opened
        context = RuntimeExecutionContext(
            execution_id="execution",
            organization_id="organization",
            agent_id=opened.agent.id,
            session_id=opened.session_id,
            turn=1,
            attempt=opened.attempt,
            prompt=opened.prompt,
            model=ModelEndpoint("", "", Wire.OPENAI, "none", ""),
            workspace=self.workspace,
            told=opened.told,
            output_schema=opened.output_schema,
        )
        yield Prepared(context, lambda: self.model_failure, lambda: "scripted", BoundedProcesses())

    async def run(
        self,
        prompt: str,
        why: StopReason = StopReason.CANCEL,
        *,
        spent: Usage = NOTHING,
        interactive: bool = False,
        opened: Mapping[str, Any] = MappingProxyType({}),
        **limits: float,
    ) -> TurnOutcome:
        toolsets = [{"type": "file_system"}]
        agent = AgentSpec(id="a", version=1, name="a", runtime="scripted", model_id="none", toolsets=toolsets)
        fields: dict[str, Any] = {
            "attempt": 1,
            "session_id": "session",
            "prompt": prompt,
            "spent": spent,
            "interactive": interactive,
        }
        request = TurnRequest(execution_id="execution", organization_id="organization", turn=1)
        plan = TurnPlan(request, AttemptOpened(agent=agent, **(fields | dict(opened))), self.workspace)
        attempt = AttemptRun(
            plan, self.control_plane, self.running, ExecutorLimits(**limits), lambda: why, self.metrics
        )
        return await attempt.run(self)


@pytest.fixture
async def control_plane() -> AsyncGenerator[RecordingControlPlane]:
    recording = RecordingControlPlane()
    yield recording
    await recording._session.close()  # pyright: ignore[reportPrivateUsage]


async def test_a_quick_turn_needs_one_call(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    outcome = await Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[say hi]]")

    assert (outcome.status, outcome.response) == (TurnStatus.COMPLETED, "hi")
    assert control_plane.appended == []
    assert [event.type for event in control_plane.closed[0].events] == ["message.completed"]


async def test_the_first_token_is_sent_at_once_and_later_ones_in_batches(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    await Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[emit 50 @200]]", flush_interval=0.05)

    texts = [append.delta.text for append in control_plane.appended if append.delta]
    assert texts[0].split() == ["tok1"]
    assert len(texts) < 15
    whole = control_plane.closed[0].events[-1].data["text"]
    assert whole.startswith("".join(texts))


async def test_a_stopped_turn_is_closed_as_interrupted_with_what_it_said(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    bench = Bench(tmp_path, ScriptedRuntime(), control_plane)
    turn = asyncio.create_task(bench.run("[[say partly;; hang]]"))
    await asyncio.sleep(0.1)

    bench.running.stop(StopReason.INTERRUPT)

    assert (await turn).finish_reason is FinishReason.INTERRUPTED
    assert control_plane.closed[0].end is AttemptEnd.INTERRUPTED
    assert control_plane.closed[0].events[-1].data["text"].strip() == "partly"


@pytest.mark.parametrize("why", [StopReason.INTERRUPT, StopReason.CANCEL, StopReason.DRAIN])
async def test_a_stopped_turn_has_used_what_it_used(
    tmp_path: Path, control_plane: RecordingControlPlane, why: StopReason
) -> None:
    bench = Bench(tmp_path, ScriptedRuntime(), control_plane)
    turn = asyncio.create_task(bench.run("[[say one;; tool x {};; hang]]", spent=Usage(tool_calls=3)))
    await asyncio.sleep(0.1)

    bench.running.stop(why)

    outcome = await turn
    assert control_plane.closed[0].usage == Usage(tool_calls=1)
    assert (outcome.usage, outcome.model) == (Usage(tool_calls=4), "scripted")


async def test_a_failed_turn_has_used_what_it_used(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    with pytest.raises(RuntimeFailure):
        await Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[say one;; tool x {};; fail model_failed]]")

    close = control_plane.closed[0]
    assert (close.usage, close.model) == (Usage(tool_calls=1), "scripted")


async def test_what_the_gateway_knows_of_a_failure_goes_before_what_the_runtime_made_of_it(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    bench = Bench(tmp_path, FailingRuntime(), control_plane)
    bench.model_failure = ModelRateLimited("Too many requests.", retry_after=7)

    with pytest.raises(ModelRateLimited):
        await bench.run("other")


async def test_a_second_attempt_tells_only_what_is_new(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    bench = Bench(tmp_path, ScriptedRuntime(), control_plane)
    prompt = "[[say one;; tool x {};; say two]]"
    await bench.run(prompt)
    steps = [step for append in control_plane.appended for step in append.steps]
    control_plane.appended.clear()

    outcome = await bench.run(prompt, opened={"attempt": 2, "steps": steps, "told": ["one"]})

    assert outcome.response == "two"
    assert control_plane.appended == []
    assert [event.data["text"] for event in control_plane.closed[1].events] == ["two"]


async def test_output_that_fits_its_schema_is_the_outcomes(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    schema = {"type": "object", "required": ["city"]}
    bench = Bench(tmp_path, ScriptedRuntime(), control_plane)

    outcome = await bench.run('[[say {"city": "Graz"}]]', opened={"output_schema": schema})

    assert outcome.output == control_plane.closed[0].output == {"city": "Graz"}


async def test_output_that_never_fits_is_an_error(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    with pytest.raises(OutputInvalid, match="it is no JSON"):
        await Bench(tmp_path, ScriptedRuntime(), control_plane).run(
            "[[say Graz]]", opened={"output_schema": {"type": "object"}}
        )

    error = control_plane.closed[0].error
    assert error is not None
    assert (error.code, error.retryable) == ("output_invalid", False)


async def test_an_execution_runs_no_longer_than_it_may(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    with pytest.raises(BudgetExceeded, match="as long as it may"):
        await Bench(tmp_path, ScriptedRuntime(), control_plane).run(
            "[[hang]]", opened={"budget": {"seconds": 60.0}, "seconds": 59.9}
        )


async def test_temporals_cancellation_ends_in_an_outcome(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    turn = asyncio.create_task(Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[hang]]"))
    await asyncio.sleep(0.1)

    turn.cancel()

    assert (await turn).status is TurnStatus.INTERRUPTED


async def test_a_drained_turn_is_handed_back(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    turn = asyncio.create_task(Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[hang]]", StopReason.DRAIN))
    await asyncio.sleep(0.1)

    turn.cancel()

    assert (await turn).status is TurnStatus.PREEMPTED
    assert control_plane.closed[0].end is AttemptEnd.PREEMPTED


async def test_a_runtime_that_does_not_stop_is_left_behind_at_the_deadline(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    bench = Bench(tmp_path, StubbornRuntime(), control_plane)
    turn = asyncio.create_task(bench.run("x", cancel_deadline=0.2))
    await asyncio.sleep(0.1)

    bench.running.stop(StopReason.CANCEL)

    async with asyncio.timeout(2):
        assert (await turn).status is TurnStatus.INTERRUPTED


async def test_silence_counts_as_a_hang(tmp_path: Path, control_plane: RecordingControlPlane) -> None:
    with pytest.raises(RuntimeStalled):
        await Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[hang]]", stale_after=0.2)

    error = control_plane.closed[0].error
    assert error is not None
    assert (control_plane.closed[0].end, error.code, error.retryable) == (AttemptEnd.FAILED, "runtime_stalled", True)


async def test_a_fenced_attempt_stops_its_runtime_and_closes_nothing(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    control_plane.refusal = AttemptFenced("A newer attempt holds the turn.")

    async with asyncio.timeout(5):
        with pytest.raises(AttemptFenced):
            await Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[say x;; hang]]")

    assert control_plane.closed == []


@pytest.mark.parametrize(
    ("prompt", "kind"), [("limited", ModelRateLimited), ("cancelled", RuntimeCrashed), ("other", RuntimeCrashed)]
)
async def test_a_failure_is_reported_and_raised(
    tmp_path: Path, control_plane: RecordingControlPlane, prompt: str, kind: type[RuntimeFailure]
) -> None:
    with pytest.raises(kind) as failed:
        await Bench(tmp_path, FailingRuntime(), control_plane).run(prompt)

    error = control_plane.closed[0].error
    assert error is not None
    assert error.code == failed.value.code
    assert error.code in control_plane.closed[0].model_dump_json()


async def test_text_that_the_database_cannot_store_is_made_storable(
    tmp_path: Path, control_plane: RecordingControlPlane
) -> None:
    outcome = await Bench(tmp_path, ScriptedRuntime(), control_plane).run("[[say a\0b\ud800c]]")

    assert control_plane.closed[0].events[0].data["text"] == "a\ufffdb\ufffdc"
    assert outcome.response == "a\ufffdb\ufffdc"


@pytest.mark.parametrize(
    ("prompt", "why", "interactive", "stays"),
    [
        ("[[say x]]", None, False, False),
        ("[[say x]]", None, True, True),
        ("[[hang]]", StopReason.INTERRUPT, False, False),
        ("[[hang]]", StopReason.CANCEL, False, False),
        ("[[hang]]", StopReason.CANCEL, True, True),
        ("[[hang]]", StopReason.DRAIN, False, True),
        ("[[fail model_request_rejected]]", None, True, False),
        ("[[fail model_rate_limited]]", None, False, True),
    ],
)
async def test_the_workspace_goes_when_nobody_will_come_back_to_it(
    tmp_path: Path,
    control_plane: RecordingControlPlane,
    prompt: str,
    why: StopReason | None,
    interactive: bool,
    stays: bool,
) -> None:
    bench = Bench(tmp_path, ScriptedRuntime(), control_plane)
    turn = asyncio.create_task(bench.run(prompt, interactive=interactive))
    if why is not None:
        await asyncio.sleep(0.1)
        bench.running.stop(why)

    with suppress(RuntimeFailure):
        await turn

    assert bench.workspace.exists() is stays
