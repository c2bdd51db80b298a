"""One attempt at a turn, from the open attempt to the closed one."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from runtimes.base import AgentRuntime
from runtimes.errors import AttemptFenced, RuntimeCrashed, RuntimeFailure, RuntimeStalled
from runtimes.turns import SHORT_RESPONSE, StopReason, TurnOutcome, TurnRequest, TurnStatus
from runtimes.types import (
    ExecutionError,
    FinishReason,
    ModelCalls,
    ModelEndpoint,
    Resumed,
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    Tool,
    ToolCallCompleted,
    ToolCallStarted,
    ToolMessage,
    TurnFinished,
    Usage,
)
from services.cancellation import RunningTurn
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import AgentSpec, AttemptEnd, AttemptOpened, CloseAttempt, NewEvent
from services.event_publisher import EventPublisher, storable
from services.tools.gateway import ToolObserver
from services.workspaces import remove

#: Longest argument or result text of a tool call in an execution's result, in characters.
SHORT_TOOL_TEXT = 500
#: Tool calls that an execution's result lists.
LISTED_TOOL_CALLS = 50


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


class Parts(Protocol):
    """Makes what an attempt is put together from."""

    def runtime(self, name: str) -> AgentRuntime: ...
    def endpoint(self, agent: AgentSpec) -> ModelEndpoint: ...
    def tools(self, plan: TurnPlan, runtime: AgentRuntime, observer: ToolObserver) -> Sequence[Tool]: ...


class AttemptRun:
    """Runs the runtime's stream, publishes what comes, and ends in exactly one close."""

    def __init__(
        self,
        plan: TurnPlan,
        client: ControlPlaneClient,
        running: RunningTurn,
        limits: ExecutorLimits,
        why_cancelled: Callable[[], StopReason],
    ) -> None:
        self._plan = plan
        self._client = client
        self._running = running
        self._limits = limits
        self._why_cancelled = why_cancelled
        self._failure: RuntimeFailure | None = None
        self._model_calls = ModelCalls()
        self._tool_messages: dict[str, ToolMessage] = {}
        self._last_event = asyncio.get_running_loop().time()
        self._publisher = EventPublisher(
            client,
            organization_id=plan.turn.organization_id,
            execution_id=plan.turn.execution_id,
            attempt=plan.opened.attempt,
            interval=limits.flush_interval,
            failed=self._abort,
        )

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

    async def started(self, call: ToolCallStarted) -> None:
        """A tool call begins."""
        self._touch()
        arguments = storable(call.arguments[:SHORT_TOOL_TEXT])
        self._tool_messages[call.tool_call_id] = ToolMessage(
            tool_call_id=call.tool_call_id, name=call.name, arguments=arguments, result=""
        )
        self._publisher.event("tool.started", asdict(call))

    async def completed(self, call: ToolCallCompleted) -> None:
        """A tool call ended."""
        self._touch()
        message = self._tool_messages.get(call.tool_call_id)
        if message is not None:
            message.result, message.is_error = storable(call.result[:SHORT_TOOL_TEXT]), call.is_error
        self._publisher.event("tool.completed", asdict(call))

    async def _work(self, parts: Parts) -> TurnFinished:
        agent = self._plan.opened.agent
        runtime = parts.runtime(agent.runtime)
        context = self._context(parts.endpoint(agent), parts.tools(self._plan, runtime, self))
        async with aclosing(runtime.stream_execute(context)) as events:
            async for event in events:
                self._touch()
                if isinstance(event, TurnFinished):
                    return event
                await self._publish(event)
        raise RuntimeCrashed(f"Runtime '{agent.runtime}' ended without finishing its turn.")

    def _context(self, endpoint: ModelEndpoint, tools: Sequence[Tool]) -> RuntimeExecutionContext:
        turn, opened = self._plan.turn, self._plan.opened
        return RuntimeExecutionContext(
            execution_id=turn.execution_id,
            organization_id=turn.organization_id,
            agent_id=opened.agent.id,
            session_id=opened.session_id,
            turn=turn.turn,
            attempt=opened.attempt,
            prompt=opened.prompt,
            model=endpoint,
            workspace=self._plan.workspace,
            system_prompt=opened.agent.system_prompt,
            history=opened.history,
            tools=tools,
            configuration=opened.agent.configuration,
            model_calls=self._model_calls,
        )

    async def _publish(self, event: RuntimeEvent) -> None:
        match event:
            case TextDelta():
                self._publisher.text(event.text)
            case ToolCallStarted():
                await self.started(event)
            case ToolCallCompleted():
                await self.completed(event)
            case TurnFinished() | Resumed():
                pass

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
        failure = self._failure or _failure_of(work)
        if failure is not None:
            await self._close_failed(failure)
            raise failure
        return await self._close_stopped()

    async def _close_finished(self, finished: TurnFinished) -> TurnOutcome:
        self._publisher.complete_message(finished.response)
        close = await self._send_close(AttemptEnd.COMPLETED, finished.response, finished.finish_reason)
        return self._outcome(close)

    async def _close_stopped(self) -> TurnOutcome:
        reason = self._running.reason
        if reason is StopReason.FENCED:
            raise AttemptFenced("A newer attempt has taken over.")
        if reason is StopReason.DRAIN:
            return self._outcome(await self._send_close(AttemptEnd.PREEMPTED))
        self._publisher.complete_message()
        return self._outcome(await self._send_close(AttemptEnd.INTERRUPTED, finish_reason=FinishReason.INTERRUPTED))

    async def _close_failed(self, failure: RuntimeFailure) -> None:
        """Best effort: a failed attempt is also seen by the one that follows it."""
        if not isinstance(failure, AttemptFenced):
            with suppress(RuntimeFailure):
                await self._send_close(AttemptEnd.FAILED, error=failure.as_error())

    async def _send_close(
        self,
        end: AttemptEnd,
        response: str = "",
        finish_reason: FinishReason | None = None,
        error: ExecutionError | None = None,
    ) -> CloseAttempt:
        def request(batch: int, events: list[NewEvent]) -> CloseAttempt:
            return CloseAttempt(
                organization_id=self._plan.turn.organization_id,
                batch=batch,
                end=end,
                events=events,
                response=storable(response),
                usage=self._usage(),
                spent=self._plan.opened.spent,
                tool_messages=list(self._tool_messages.values())[-LISTED_TOOL_CALLS:],
                model=self._model_calls.model,
                finish_reason=finish_reason,
                error=error,
            )

        close = await self._publisher.close(request)
        await self._client.close(self._plan.turn.execution_id, self._plan.opened.attempt, close)
        if self._plan.opened.agent.toolsets and self._is_last(close):
            await remove(self._plan.workspace)
        return close

    def _is_last(self, close: CloseAttempt) -> bool:
        """Whether the execution ends here, as far as this attempt can know."""
        if close.error is not None:
            return not close.error.retryable
        return close.end is not AttemptEnd.PREEMPTED and not self._plan.opened.interactive

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
        )

    def _usage(self) -> Usage:
        return self._model_calls.usage.model_copy(update={"tool_calls": len(self._tool_messages)})

    def _touch(self) -> None:
        self._last_event = asyncio.get_running_loop().time()

    def _abort(self, failure: RuntimeFailure) -> None:
        self._failure = self._failure or failure
        self._running.stop(StopReason.FENCED)


def _failure_of(work: "asyncio.Task[TurnFinished]") -> RuntimeFailure | None:
    """Why the work failed; None if it was stopped."""
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
