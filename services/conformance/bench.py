"""The bench on which a runtime is checked: all that a worker has, and a scripted model behind it."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import httpx
from prometheus_client import CollectorRegistry

from runtimes.errors import RuntimeCrashed, RuntimeFailure
from runtimes.factory import RuntimeFactory
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.turns import AttemptKey, StopReason, TurnOutcome, TurnRequest
from runtimes.types import Message, Wire
from services.agent_executor import AgentExecutorService
from services.attempt import ExecutorLimits
from services.cancellation import CancellationManager
from services.conformance import tools
from services.conformance.control_plane import ControlPlaneInMemory, Journal, TurnRecord
from services.control_plane_client.models import AgentSpec, Step, StepKind, StepStatus
from services.metrics import TurnMetrics
from services.model_gateway.breaker import BreakerLimits, Breakers
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from services.sandbox.sandbox import Sandbox
from services.tools.toolsets import Toolsets
from services.workspaces import Workspaces

ORGANIZATION = "conformance"
MODELS: Mapping[Wire, str] = {Wire.OPENAI: "openai/scripted", Wire.ANTHROPIC: "anthropic/claude-scripted"}
#: Many failures in a row are what this is about: no breaker may open.
NO_BREAKER = BreakerLimits(failures=1_000_000)
LIMITS = ExecutorLimits(cancel_deadline=15.0, stale_after=60.0, flush_interval=0.01)
#: The MCP server that agents get, and what the sandbox has to show so that it runs.
MCP_SERVER = Path(__file__).with_name("mcp_server.py")
_SHOWN = (MCP_SERVER.parent, Path(sys.prefix), Path(sys.base_prefix))
#: Seconds between two looks at something that is waited for.
_TICK = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """A turn to be run; `script` are the scripted model's directions, `functions` the tools by their names or paths.

    `model_id` is another model than the bench's own.
    """

    script: str
    functions: Sequence[str] = ()
    toolsets: Sequence[Mapping[str, Any]] = ()
    effect: str = "at_most_once"
    system_prompt: str = ""
    history: Sequence[Message] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output_schema: Mapping[str, Any] | None = None
    model_id: str = ""

    def all_toolsets(self) -> list[dict[str, Any]]:
        """The toolsets as an agent's definition has them."""
        paths = [name if ":" in name else f"{tools.__name__}:{name}" for name in self.functions]
        functions = [{"type": "python", "functions": paths, "effect": self.effect}] if paths else []
        return [*functions, *(dict(toolset) for toolset in self.toolsets)]


@dataclass(frozen=True, slots=True)
class Call:
    """A request that reached the scripted model."""

    outcome: str
    body: Any
    hash: str
    received_at: str
    round: int
    nth: int
    tools: Sequence[str]


@dataclass(frozen=True, slots=True)
class Taken:
    """A turn that was taken to its end: how it ended, what was written, which model calls were made."""

    execution: str
    marker: str
    record: TurnRecord
    outcome: TurnOutcome | None
    failure: RuntimeFailure | None
    calls: Sequence[Call]
    seconds: float

    @property
    def response(self) -> str:
        """The answer; empty if there is none."""
        return self.outcome.response if self.outcome is not None else ""

    @property
    def steps(self) -> list[Step]:
        """The journal, in order."""
        return sorted(self.record.journal.steps.values(), key=lambda step: step.ordinal)


class Running:
    """A turn that is under way; `marker` finds its model calls."""

    def __init__(self, bench: "Bench", execution: str, marker: str, record: TurnRecord) -> None:
        self.execution = execution
        self.marker = marker
        self.record = record
        self._bench = bench
        self._began = perf_counter()
        self._work = asyncio.create_task(bench.take(execution))
        self._work.add_done_callback(lambda work: work.cancelled() or work.exception())

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something has happened, or the turn is over."""
        await until(lambda: happened() or self._work.done())

    async def called(self) -> None:
        """Wait for the turn's first model call, or its end."""
        while not self._work.done():
            if await self._bench.calls(self.marker):
                return
            await asyncio.sleep(_TICK)

    def cancel(self) -> None:
        """Stop the turn as a user's cancel does."""
        self._began = perf_counter()
        self._bench.cancel(self.execution)

    async def taken(self) -> Taken:
        """Wait for the end; `seconds` count from the cancel if there was one."""
        outcome = failure = None
        try:
            outcome = await self._work
        except RuntimeFailure as raised:
            failure = raised
            self._bench.note_crash(raised)
        seconds = perf_counter() - self._began
        calls = await self._bench.calls(self.marker)
        return Taken(self.execution, self.marker, self.record, outcome, failure, calls, seconds)


class Bench:
    """One runtime on one wire."""

    def __init__(
        self,
        manifest: RuntimeManifest,
        wire: Wire,
        executor: AgentExecutorService,
        control_plane: ControlPlaneInMemory,
        turns: CancellationManager,
        provider: httpx.AsyncClient,
        directory: Path,
        model_id: str,
    ) -> None:
        self.manifest = manifest
        self.runtime = manifest.name
        self.wire = wire
        self.model_id = model_id
        self.directory = directory
        self._executor = executor
        self._control_plane = control_plane
        self._turns = turns
        self._provider = provider
        self._crashes: list[BaseException] = []

    async def run(self, case: Case) -> Taken:
        """Run a turn to its end."""
        return await self.start(case).taken()

    def start(self, case: Case) -> Running:
        """Begin a turn of a new execution."""
        marker = f"case-{uuid4().hex}"
        return self._start(str(uuid4()), marker, self._record(case, marker))

    async def again(self, taken: Taken, journal: Journal | None = None) -> Taken:
        """Run a turn once more, as if its worker had been killed when the journal was like this: empty, if None.

        Its `calls` are those of the new attempt.
        """
        before, made = taken.record, len(await self.calls(taken.marker))
        record = TurnRecord(before.agent, before.prompt, before.history, before.output_schema, attempt=before.attempt)
        record.journal = journal.copy() if journal is not None else Journal()
        after = await self._start(taken.execution, taken.marker, record).taken()
        return replace(after, calls=after.calls[made:])

    async def take(self, execution: str) -> TurnOutcome:
        """What the worker's activity does."""
        turn = TurnRequest(execution_id=execution, organization_id=ORGANIZATION, turn=1)
        key = AttemptKey(workflow_id=execution, run_id="run", try_number=1, token=uuid4().hex)
        return await self._executor.run(turn, key, lambda: StopReason.CANCEL)

    def cancel(self, execution: str) -> None:
        """Stop the execution's turn."""
        self._turns.cancel(execution)

    async def stop(self) -> None:
        """Leave no turn running."""
        self._turns.stop_all(StopReason.CANCEL)
        await self._turns.idle()

    def note_crash(self, failure: RuntimeFailure) -> None:
        """Keep what the adapter raised, where that is why the turn failed."""
        if isinstance(failure, RuntimeCrashed) and failure.__cause__ is not None:
            self._crashes.append(failure.__cause__)

    def take_crashes(self) -> list[BaseException]:
        """Take the exceptions of the adapter since this was asked last."""
        crashes, self._crashes = self._crashes, []
        return crashes

    async def calls(self, marker: str) -> list[Call]:
        """The model calls that were really made for a turn."""
        found = await self._provider.get("/requests", params={"contains": marker, "kind": "answer"})
        names = Call.__dataclass_fields__
        return [Call(**{name: view[name] for name in names}) for view in found.json()["requests"]]

    async def ended_calls(self, marker: str) -> list[Call]:
        """The model calls of a turn, once none of them is under way."""
        while True:
            calls = await self.calls(marker)
            if all(call.outcome != "running" for call in calls):
                return calls
            await asyncio.sleep(_TICK)

    def _start(self, execution: str, marker: str, record: TurnRecord) -> Running:
        self._control_plane.turns[execution] = record
        return Running(self, execution, marker, record)

    def _record(self, case: Case, marker: str) -> TurnRecord:
        agent = AgentSpec(
            id="checked",
            version=1,
            name="checked",
            runtime=self.runtime,
            model_id=case.model_id or self.model_id,
            system_prompt=case.system_prompt,
            toolsets=case.all_toolsets(),
            configuration=dict(case.configuration),
        )
        schema = dict(case.output_schema) if case.output_schema is not None else None
        return TurnRecord(agent, f"{case.script} {marker}", list(case.history), schema)


async def until(happened: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    while True:
        if happened():
            return
        await asyncio.sleep(_TICK)


def done(taken: Taken, kind: StepKind) -> list[Step]:
    """The steps of a kind that were done."""
    return [step for step in taken.steps if step.kind is kind and step.status is StepStatus.DONE]


@asynccontextmanager
async def bench(
    runtime: str,
    wire: Wire,
    provider: httpx.AsyncClient,
    runtimes: RuntimeFactory,
    directory: Path,
    *,
    model_id: str = "",
    modules: Sequence[str] = (tools.__name__,),
) -> AsyncGenerator[Bench]:
    """Put a runtime on the bench, with functions of some modules as tools; nothing of it is left afterwards."""
    url, turns, control_plane = str(provider.base_url).rstrip("/"), CancellationManager(), ControlPlaneInMemory()
    registry = ProviderRegistry(
        [Provider("openai", f"{url}/v1", wire=Wire.OPENAI), Provider("anthropic", url, wire=Wire.ANTHROPIC)]
    )
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(control_plane.client())
        models = ModelGateway(registry, Breakers(NO_BREAKER))
        await models.start()
        stack.push_async_callback(models.close)
        executor = AgentExecutorService(
            client=client,
            runtimes=runtimes,
            models=models,
            toolsets=Toolsets(list(modules), slots=50, sandbox=Sandbox(_SHOWN), mcp_commands=[sys.executable]),
            turns=turns,
            worker_id="conformance",
            workspaces=Workspaces(directory / "workspaces"),
            limits=LIMITS,
            metrics=TurnMetrics(CollectorRegistry()),
        )
        model_id = model_id or MODELS[wire]
        yield Bench(runtimes.manifest(runtime), wire, executor, control_plane, turns, provider, directory, model_id)
