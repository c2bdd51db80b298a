"""One attempt at a turn, from the open attempt to the closed one."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from runtimes.base import AgentRuntime
from runtimes.errors import AttemptFenced, RuntimeCrashed, RuntimeFailure, RuntimeStalled
from runtimes.turns import SHORT_RESPONSE, StopReason, TurnOutcome, TurnRequest, TurnStatus
from runtimes.types import (
    Effect,
    ExecutionError,
    FinishReason,
    Resumed,
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    ToolResult,
    TurnFinished,
)
from services.agent_settings import AgentSettings, read_settings
from services.asked_calls import AskedCalls
from services.bounded.process import BoundedProcesses
from services.calls import CallLog
from services.cancellation import RunningTurn
from services.control_plane_client.attempt_store import AttemptStore
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AttemptEnd, AttemptOpened, CloseAttempt, NewEvent
from services.event_publisher import EventPublisher
from services.journal import Journal
from services.metrics import TurnMetrics
from services.output import answered
from services.shared_budget import budget_of
from services.storable import storable
from services.suspension import Suspension
from services.tools.desk import TurnDesk, Wanted
from services.tracing import TurnTrace
from services.turn_control import budget_question
from services.workspaces import remove


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    """Times in seconds.

    `cancel_deadline`: what a stopped runtime gets to end; `stale_after`: silence of a runtime that
    counts as a hang; `flush_interval`: least time between two batches of events.
    """

    cancel_deadline: float = 5.0
    stale_after: float = 600.0
    flush_interval: float = 0.05


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What is to be run, and where."""

    turn: TurnRequest
    opened: AttemptOpened
    workspace: Path
    trace: TurnTrace = field(default_factory=TurnTrace)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a turn is run with; `failure` tells why the last model call failed, if it did."""

    context: RuntimeExecutionContext
    failure: Callable[[], RuntimeFailure | None]
    model: Callable[[], str]
    processes: BoundedProcesses


@dataclass(frozen=True, slots=True)
class AttemptScope:
    """What the parts of an attempt share."""

    plan: TurnPlan
    settings: AgentSettings
    desk: TurnDesk
    store: AttemptStore
    touch: Callable[[], None]


class Parts(Protocol):
    """Makes what an attempt is put together from."""

    def runtime(self, name: str) -> AgentRuntime: ...
    def prepared(self, scope: AttemptScope) -> AbstractAsyncContextManager[Prepared]: ...


class AttemptRun:
    """Runs the runtime's stream, publishes what comes, and ends in exactly one close."""

    def __init__(
        self,
        plan: TurnPlan,
        client: ControlPlaneClient,
        running: RunningTurn,
        limits: ExecutorLimits,
        why_cancelled: Callable[[], StopReason],
        metrics: TurnMetrics,
    ) -> None:
        self._plan = plan
        self._client = client
        self._running = running
        self._limits = limits
        self._why_cancelled = why_cancelled
        self._failure: RuntimeFailure | None = None
        self._model: Callable[[], str] = str
        self._model_failure: Callable[[], RuntimeFailure | None] = _none
        self._last_event = asyncio.get_running_loop().time()
        opened, turn = plan.opened, plan.turn
        self._store = AttemptStore(
            client,
            organization_id=turn.organization_id,
            execution_id=turn.execution_id,
            turn=turn.turn,
            attempt=opened.attempt,
        )
        self._publisher = EventPublisher(
            client,
            organization_id=turn.organization_id,
            execution_id=turn.execution_id,
            attempt=opened.attempt,
            interval=limits.flush_interval,
            failed=self._abort,
            told=opened.told,
        )
        self._calls = CallLog(self._touch, self._publisher.complete_message)
        self._journal = Journal(opened.attempt, opened.steps, self._publisher, self._store.json_blob, metrics)
        # What a journal answers is there at once: that says nothing of how long anybody waited.
        self._spoke = _none if opened.steps else metrics.first_token(opened.agent.runtime)
        self._suspension: Suspension | None = None
        self._foreign: dict[str, ToolCallStarted] = {}
        self._runs = 0

    async def run(self, parts: Parts) -> TurnOutcome:
        """Run the turn to its end or until it is told to stop.

        Raises:
            RuntimeFailure: the attempt failed, or was shut out by a newer one.
        """
        work = asyncio.create_task(self._work(parts))
        try:
            while not work.done() and self._running.reason is None:
                await self._wait(work)
            await self._end(work)
            return await _undisturbed(self._close(work))
        finally:
            work.cancel()
            await self._publisher.stop()

    async def _work(self, parts: Parts) -> TurnFinished:
        with self._scope() as scope, self._within_time(scope):
            async with parts.prepared(scope) as prepared:
                self._model, self._model_failure = prepared.model, prepared.failure
                return await answered(prepared.context, partial(self._stream, parts), prepared.processes)

    @contextmanager
    def _scope(self) -> Generator[AttemptScope]:
        opened, turn = self._plan.opened, self._plan.turn
        settings = read_settings(AgentSettings, opened.agent.configuration)
        self._suspension = Suspension(
            f"{turn.execution_id}/{turn.turn}",
            self._publisher,
            self._calls,
            self._running,
            opened.decisions,
            settings.approval_timeout_seconds,
            self._abort,
        )
        self._desk = TurnDesk(
            execution_id=turn.execution_id,
            turn=turn.turn,
            journal=self._journal,
            budget=budget_of(settings, opened, self._store),
            control=self._suspension,
            observer=self._calls,
            decisions=opened.decisions,
            unknown=settings.on_outcome_unknown,
            pause_on_budget=settings.on_budget == "pause",
            asked=AskedCalls.within(opened.agent.configuration, turn.turn),
            trace=self._plan.trace,
        )
        try:
            yield AttemptScope(self._plan, settings, self._desk, self._store, self._touch)
        finally:
            self._suspension.close()

    @contextmanager
    def _within_time(self, scope: AttemptScope) -> Generator[None]:
        """End the turn when the execution has run for as long as it may."""
        limit = scope.desk.budget.limits.seconds
        if limit is None:
            yield
            return
        left = limit - self._plan.opened.seconds
        timer = asyncio.get_running_loop().call_later(max(0.0, left), self._out_of_time, scope)
        try:
            yield
        finally:
            timer.cancel()

    def _out_of_time(self, scope: AttemptScope) -> None:
        exceeded = scope.desk.budget.end_time()
        if scope.settings.on_budget == "pause":
            question = budget_question(exceeded, scope.desk.budget, of_call=False)
            self._asking = asyncio.create_task(scope.desk.control.ask(question))
        else:
            self._abort(exceeded)

    async def _stream(self, parts: Parts, context: RuntimeExecutionContext) -> TurnFinished:
        agent = self._plan.opened.agent
        self._publisher.complete_message()
        if self._runs > 0:
            context = replace(context, store=self._store.named(f"run-{self._runs}."), told=())
        self._runs += 1
        async with aclosing(parts.runtime(agent.runtime).stream_execute(context)) as events:
            async for event in events:
                self._touch()
                if isinstance(event, TurnFinished):
                    return await self._finish(event)
                await self._publish(event)
        raise RuntimeCrashed(f"Runtime '{agent.runtime}' ended without finishing its turn.")

    async def _finish(self, finished: TurnFinished) -> TurnFinished:
        """Tell what is left to be told.

        Raises:
            RuntimeFailure: the turn was ended without an answer, by a limit or a filter.
        """
        self._publisher.complete_message(finished.response)
        await self._desk.end()
        if failure := self._desk.asked.failure(finished):
            raise failure
        return finished

    async def _publish(self, event: RuntimeEvent) -> None:
        match event:
            case TextDelta():
                self._spoke()
                self._publisher.text(event.text)
            case ToolCallStarted():
                self._foreign[event.tool_call_id] = event
            case ToolCallCompleted():
                await self._record(self._foreign.pop(event.tool_call_id), event)
            case Resumed():
                self._publisher.resume()
            case TurnFinished():
                pass

    async def _record(self, begun: ToolCallStarted, ended: ToolCallCompleted) -> None:
        """A call that the framework ran itself; those that nobody may run are the desk's to tell."""
        asked = self._desk.asked.find(begun.tool_call_id)
        if asked is not None and not asked.may_run_elsewhere:
            return
        if asked is not None:
            asked.is_told = True
        wanted = Wanted(
            tool_call_id=begun.tool_call_id,
            name=begun.name,
            written=begun.arguments,
            effect=Effect.READ_ONLY,
        )
        await self._desk.record(wanted, ToolResult(ended.result, ended.is_error), ran=True)

    async def _wait(self, work: "asyncio.Task[TurnFinished]") -> None:
        """Wait for the end, for a reason to stop, or until the runtime counts as hung."""
        patience = self._last_event + self._limits.stale_after - asyncio.get_running_loop().time()
        if patience <= 0:
            self._abort(RuntimeStalled(f"Nothing came from the runtime for {self._limits.stale_after:.0f} s."))
            return
        waiting = {work, self._running.stopped}
        try:
            await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._running.stop(self._why_cancelled())
            _take_cancellation()

    async def _end(self, work: "asyncio.Task[TurnFinished]") -> None:
        """Stop the runtime if it still runs; one that does not end in time is left behind."""
        work.cancel()
        deadline = asyncio.get_running_loop().time() + self._limits.cancel_deadline
        while not work.done() and (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.wait({work}, timeout=left)
            except asyncio.CancelledError:
                _take_cancellation()

    async def _close(self, work: "asyncio.Task[TurnFinished]") -> TurnOutcome:
        if work.done() and not work.cancelled() and work.exception() is None:
            return await self._close_finished(work.result())
        failure = self._failure or self._explained(_failure_of(work, was_told=self._running.reason is not None))
        if failure is not None:
            return await self._close_failed(failure)
        return await self._close_stopped()

    def _explained(self, failure: RuntimeFailure | None) -> RuntimeFailure | None:
        """What the model gateway knows goes before what a framework made of it."""
        if failure is None or isinstance(failure, AttemptFenced):
            return failure
        return self._model_failure() or failure

    async def _close_finished(self, finished: TurnFinished) -> TurnOutcome:
        close = await self._send_close(
            AttemptEnd.COMPLETED, finished.response, finished.finish_reason, output=finished.output
        )
        return self._outcome(close)

    async def _close_stopped(self) -> TurnOutcome:
        reason = self._running.reason
        if reason is StopReason.FENCED:
            raise AttemptFenced("A newer attempt has taken over.")
        if reason is StopReason.DRAIN:
            return self._outcome(await self._send_close(AttemptEnd.PREEMPTED))
        if reason is StopReason.SUSPEND:
            return self._outcome(await self._send_close(AttemptEnd.SUSPENDED))
        self._publisher.complete_message()
        return self._outcome(await self._send_close(AttemptEnd.INTERRUPTED, finish_reason=FinishReason.INTERRUPTED))

    async def _close_failed(self, failure: RuntimeFailure) -> TurnOutcome:
        """Best effort, unless the turn ends here: a failed attempt is also seen by the one that follows it."""
        if isinstance(failure, AttemptFenced):
            raise failure
        error, reason = failure.as_error(), failure.finish_reason
        if not failure.retryable:
            self._publisher.complete_message()
            failure.partial = self._publisher.last_text[:SHORT_RESPONSE]
        if failure.is_of_the_turn and self._plan.turn.goes_on:
            said = self._publisher.last_text
            return self._outcome(await self._send_close(AttemptEnd.FAILED, said, reason, error, ends_turn=True))
        with suppress(RuntimeFailure):
            await self._send_close(AttemptEnd.FAILED, "", reason, error)
        raise failure

    async def _send_close(
        self,
        end: AttemptEnd,
        response: str = "",
        finish_reason: FinishReason | None = None,
        error: ExecutionError | None = None,
        output: Any = None,
        *,
        ends_turn: bool = False,
    ) -> CloseAttempt:
        def request(batch: int, events: list[NewEvent]) -> CloseAttempt:
            return CloseAttempt(
                organization_id=self._plan.turn.organization_id,
                batch=batch,
                end=end,
                events=events,
                response=storable(response),
                usage=self._journal.used,
                spent=self._plan.opened.spent,
                tool_messages=self._calls.messages,
                model=storable(self._model()),
                finish_reason=finish_reason,
                output=output,
                waits=list(self._suspension.waits) if self._suspension else [],
                error=error,
                ends_turn=ends_turn,
            )

        close = await self._publisher.close(request)
        await self._client.close(self._plan.turn.execution_id, self._plan.opened.attempt, close)
        self._plan.trace.closed(self._plan.opened.prompt, close)
        if self._leaves_files(close):
            await remove(self._plan.workspace)
        return close

    def _leaves_files(self, close: CloseAttempt) -> bool:
        return self._is_last(close) and self._plan.workspace.exists()

    def _is_last(self, close: CloseAttempt) -> bool:
        """Whether the execution ends here, as far as this attempt can know."""
        if close.error is not None:
            return not close.error.retryable and not close.ends_turn
        stays = close.end in (AttemptEnd.PREEMPTED, AttemptEnd.SUSPENDED)
        return not stays and not self._plan.opened.interactive

    def _outcome(self, close: CloseAttempt) -> TurnOutcome:
        opened = self._plan.opened
        return TurnOutcome(
            status=TurnStatus(close.end),
            session_id=opened.session_id,
            attempt=opened.attempt,
            response=close.response[:SHORT_RESPONSE],
            response_truncated=len(close.response) > SHORT_RESPONSE,
            usage=close.spent + close.usage,
            tool_messages=close.tool_messages,
            model=close.model,
            runtime=opened.agent.runtime,
            finish_reason=close.finish_reason,
            output=close.output,
            waits=close.waits,
            wait_seconds=self._suspension.wait_seconds if self._suspension else None,
            error=close.error,
        )

    def _touch(self) -> None:
        self._last_event = asyncio.get_running_loop().time()

    def _abort(self, failure: RuntimeFailure) -> None:
        self._failure = self._failure or failure
        self._running.stop(StopReason.FENCED)


def _none() -> None:
    """Nothing is known."""


def _failure_of(work: "asyncio.Task[TurnFinished]", *, was_told: bool) -> RuntimeFailure | None:
    """Why the work failed; None if it was stopped, which `was_told` says."""
    if work.done() and work.cancelled() and not was_told:
        return RuntimeCrashed("The framework ended the turn with a cancellation that nobody had asked for.")
    if not work.done() or work.cancelled():
        return None
    error = work.exception()
    if error is None or isinstance(error, RuntimeFailure):
        return error
    crash = RuntimeCrashed(f"{type(error).__name__}: {error}")
    crash.__cause__ = error
    return crash


async def _undisturbed(closing: Coroutine[Any, Any, TurnOutcome]) -> TurnOutcome:
    """Wait for the close, however often the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(closing)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done():
                raise
            _take_cancellation()


def _take_cancellation() -> None:
    """The turn's end is an outcome, not an exception: Temporal's cancellation ends here."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
