"""Where tool calls are claimed before they run and committed after: replay, approval, budget, unknown outcomes."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from time import time
from typing import Any, NoReturn, Protocol
from uuid import UUID, uuid5

import orjson

from runtimes.depth import is_deep
from runtimes.errors import BudgetExceeded
from runtimes.types import Effect, FinishReason, ToolCallCompleted, ToolCallStarted, ToolResult, Usage
from services.asked_calls import AskedCall, AskedCalls
from services.budget import Budget
from services.completions import ENDED
from services.control_plane_client.models import Decision, NewEvent, Step, StepKind, StepStatus
from services.event_publisher import storable
from services.forgotten import EARLIER
from services.journal import Journal, canonical_hash
from services.metrics import COMPLETED, FAILED, OTHER, REFUSED, UNKNOWN
from services.tracing import TurnTrace
from services.turn_control import Question, QuestionKind, TurnControl, budget_question

_KEYS = UUID("5b0f9e64-52d8-4f5e-9a0a-3c1b0f8a7d11")
#: Of what a framework says of a call that no tool has seen, in characters.
_TOLD_LIMIT = 5000
_LEFT = "Not run: the turn ended without it."
_UNKNOWN = (
    "It is not known whether '{name}' was done: the attempt that ran it ended before its result was there. It is not "
    "run again by itself. Find out what happened before you decide what to do."
)
_AGAIN = (
    "Not run: '{name}' was called before in this turn, with {arguments}, and then the conversation was lost. {outcome} "
    "Call '{name}' again only if it has to be done once more."
)
#: Characters of an earlier call's arguments and result that the model is told.
_TOLD = 1000
NOTHING: Mapping[str, str] = {}


class UnknownOutcome(StrEnum):
    """What becomes of a call that was claimed, may not be repeated, and whose result was lost."""

    TELL_MODEL = "tell_model"
    ASK_HUMAN = "ask_human"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tool call that is about to run; `written` are its arguments as text that can be stored.

    `label` is what metrics call its tool.
    """

    tool_call_id: str
    name: str
    written: str
    effect: Effect
    needs_approval: bool = False
    label: str = OTHER

    @property
    def is_known(self) -> bool:
        """Whether there is such a tool, as far as Holdfast knows."""
        return self.label != OTHER

    @property
    def digest(self) -> str:
        """What an approval is bound to, besides the call's id."""
        return canonical_hash(self.name, self.shown)

    @property
    def shown(self) -> Any:
        """The arguments as they can be stored: as JSON, or as text where they are none or are nested too deeply."""
        try:
            found = orjson.loads(self.written)
        except orjson.JSONDecodeError:
            return self.written
        return self.written if is_deep(found) else found


class CallObserver(Protocol):
    """Hears of every call, replayed ones too; it writes nothing."""

    def entered(self, call: ToolCallStarted) -> None: ...
    def left(self, call: ToolCallCompleted) -> None: ...


@dataclass(frozen=True, slots=True)
class TurnDesk:
    """What the tool calls of one attempt share."""

    execution_id: str
    turn: int
    journal: Journal
    budget: Budget
    control: TurnControl
    observer: CallObserver
    decisions: Sequence[Decision] = ()
    unknown: UnknownOutcome = UnknownOutcome.TELL_MODEL
    pause_on_budget: bool = False
    asked: AskedCalls = field(default_factory=AskedCalls)
    trace: TurnTrace = field(default_factory=TurnTrace)

    def idempotency_key(self, tool_call_id: str) -> str:
        """The same on every attempt at the turn."""
        return str(uuid5(_KEYS, f"{self.execution_id}/{self.turn}/{tool_call_id}"))

    async def asking(self, results: Mapping[str, str]) -> None:
        """The framework asks the model again: the results of calls that no tool has seen are its own words.

        Raises:
            LimitReached: the model may not be asked any more.
        """
        for call in [call for call in self.asked.untold() if call.id in results]:
            await self._tell(call, results[call.id])
        self.asked.check()

    def answered(self, finish: FinishReason, calls: Sequence[AskedCall]) -> None:
        """The model has answered."""
        self.asked.answered(finish, calls)

    async def end(self) -> None:
        """The turn has ended: calls that never came to a tool are told."""
        for call in list(self.asked.untold()):
            await self._tell(call, call.refusal or _LEFT)

    async def begin(self, wanted: Wanted, *, beside: Sequence[Wanted] = ()) -> Step | ToolResult:
        """Claim a call, or give the result that it has already.

        Does not return where a human has to decide first; then the calls `beside` it are asked about, too.

        Raises:
            BudgetExceeded: the execution has no tool call left; the turn is told already.
            RuntimeFailure: the call could not be claimed.
        """
        self.observer.entered(ToolCallStarted(wanted.tool_call_id, wanted.name, wanted.written))
        recorded = await self.journal.replay(StepKind.TOOL_CALL, digest=wanted.digest, key=wanted.tool_call_id)
        if recorded is None:
            return await self._new(wanted, beside)
        if recorded.response is not None:
            self.trace.replayed(recorded)
            return self._leave(wanted, _recorded(recorded))
        return await self._lost(wanted, recorded)

    async def commit(
        self, wanted: Wanted, step: Step, result: ToolResult, *, whole: str = "", workspace: str | None = None
    ) -> ToolResult:
        """Store what a call came to, whoever stops waiting for it; `whole` is its text before it was cut."""
        response = {"text": result.text, "is_error": result.is_error} | ({"whole": whole} if whole else {})
        kept = {"status": StepStatus.DONE, "response": response, "request": None, "timings": _ended()}
        done = step.model_copy(update=kept | {"workspace": workspace})
        await _whole(self.journal.write(done, [_completed(wanted, result)]))
        return self._counted(wanted, result, FAILED if result.is_error else COMPLETED)

    async def record(self, wanted: Wanted, result: ToolResult, *, ran: bool = False) -> ToolResult:
        """Record a call that is not run here: it was refused, or the framework `ran` it."""
        self.observer.entered(ToolCallStarted(wanted.tool_call_id, wanted.name, wanted.written))
        recorded = await self.journal.replay(StepKind.TOOL_CALL, digest=wanted.digest, key=wanted.tool_call_id)
        if recorded is not None and recorded.response is not None:
            self.trace.replayed(recorded)
            return self._leave(wanted, _recorded(recorded))
        if recorded is not None and _may_have_run_once(wanted, recorded):
            return await self._never_known(wanted, recorded)
        step = self._step(wanted) if recorded is None else self.journal.again(recorded)
        return await self._settle(wanted, result, step, ran=ran)

    async def cut_off(self, wanted: Wanted, step: Step) -> None:
        """Record that the attempt stops waiting for a call which cannot be stopped."""
        is_unknown = wanted.effect is Effect.AT_MOST_ONCE
        cut = step.model_copy(update={"status": StepStatus.UNKNOWN if is_unknown else StepStatus.CANCELLED})
        told = {"tool_call_id": wanted.tool_call_id, "name": wanted.name, "runs_on": True}
        await _whole(self.journal.write(cut, [NewEvent(type=f"tool.{cut.status}", data=told)]))

    async def _tell(self, call: AskedCall, text: str) -> None:
        call.is_told = True
        wanted = Wanted(call.id, call.name, storable(call.arguments), Effect.READ_ONLY)
        await self.record(wanted, ToolResult(storable(text[:_TOLD_LIMIT]), is_error=True))

    async def _new(self, wanted: Wanted, beside: Sequence[Wanted]) -> Step | ToolResult:
        """A call that no earlier attempt knows, unless the model has only worded it anew."""
        once = wanted.effect is Effect.AT_MOST_ONCE
        earlier = await self.journal.forgotten(wanted.tool_call_id, wanted.name) if once else None
        if earlier is None:
            return await self._first(wanted, beside)
        if self.unknown is UnknownOutcome.TELL_MODEL:
            return await self._hold_back(wanted, earlier)
        question = self._question(QuestionKind.OUTCOME_UNKNOWN, wanted, f"{wanted.digest}/{earlier.key}")
        decision = await self._decision(question)
        if decision.status != "approved":
            return await self._hold_back(wanted, earlier, decision.note)
        return await self._first(wanted, beside, [decision.id])

    async def _hold_back(self, wanted: Wanted, earlier: Step, note: str = "") -> ToolResult:
        """Do not run a call that may be another call's repetition; tell what is known of that."""
        if earlier.response is None:
            await self._store_unknown(earlier, _UNKNOWN.format(name=earlier.name))
        text = _again(wanted, earlier) + (f" A human says: {note}" if note else "")
        told = {"tool_call_id": wanted.tool_call_id, "name": wanted.name, "earlier": earlier.key}
        held = NewEvent(type="tool.not_repeated", data=told)
        result, step = ToolResult(text, is_error=True), self._step(wanted)
        return await self._settle(wanted, result, step, told=[held], more={EARLIER: earlier.key})

    async def _first(
        self, wanted: Wanted, beside: Sequence[Wanted] = (), acted_upon: Sequence[UUID] = ()
    ) -> Step | ToolResult:
        used = list(acted_upon)
        if wanted.needs_approval:
            decision = self._made(self._call_question(wanted)) or await self._ask(wanted, beside)
            if decision.status != "approved":
                return await self._settle(wanted, ToolResult(_denial(decision), is_error=True), self._step(wanted))
            used.append(decision.id)
        await self._reserve()
        step = self._step(wanted)
        try:
            await self.journal.write(step, [_started(wanted)], used=used)
        except asyncio.CancelledError:
            await self._not_made(wanted, step)
            raise
        return step

    async def _not_made(self, wanted: Wanted, step: Step) -> None:
        """Record that the attempt was stopped before a claimed call began: a later one may make it."""
        cut = step.model_copy(update={"status": StepStatus.CANCELLED, "request": None})
        told = {"tool_call_id": wanted.tool_call_id, "name": wanted.name}
        await _whole(self.journal.write(cut, [NewEvent(type="tool.cancelled", data=told)]))

    async def _lost(self, wanted: Wanted, step: Step) -> Step | ToolResult:
        """A call that an earlier attempt claimed without saying what came of it."""
        used: list[UUID] = []
        if _may_have_run_once(wanted, step):
            if self.unknown is UnknownOutcome.TELL_MODEL:
                return await self._never_known(wanted, step)
            digest = f"{wanted.digest}/{step.attempt}"
            decision = await self._decision(self._question(QuestionKind.OUTCOME_UNKNOWN, wanted, digest))
            if decision.status != "approved":
                return await self._never_known(wanted, step, decision.note)
            used.append(decision.id)
        again = self.journal.again(step)
        is_open = step.status is StepStatus.CLAIMED
        await self.journal.write(again, [] if is_open else [_started(wanted)], used=used)
        return again

    async def _never_known(self, wanted: Wanted, step: Step, note: str = "") -> ToolResult:
        text = _UNKNOWN.format(name=wanted.name) + (f" A human says: {note}" if note else "")
        await self._store_unknown(step, text)
        return self._counted(wanted, ToolResult(text, is_error=True), UNKNOWN)

    async def _store_unknown(self, step: Step, text: str) -> None:
        """Nobody will ever know what came of a call."""
        unknown = step.model_copy(
            update={"status": StepStatus.UNKNOWN, "response": {"text": text, "is_error": True}, "usage": Usage()}
        )
        told = NewEvent(type="tool.unknown", data={"tool_call_id": step.key, "name": step.name})
        await self.journal.write(unknown, [told] if step.status is StepStatus.CLAIMED else [])
        self.trace.outcome_unknown(unknown)

    async def _settle(
        self,
        wanted: Wanted,
        result: ToolResult,
        step: Step,
        *,
        ran: bool = False,
        told: Sequence[NewEvent] = (),
        more: Mapping[str, str] = NOTHING,
    ) -> ToolResult:
        """A call that does not run here has its end in one write; only one that ran somewhere else was started."""
        response = {"text": result.text, "is_error": result.is_error, **more}
        kept = {"status": StepStatus.DONE, "response": response, "timings": _ended()}
        done = step.model_copy(update=kept)
        span = self.trace.tool_call(done, wanted.written, is_known=wanted.is_known)
        ends = [_started(wanted), _completed(wanted, result)] if ran else [_refused(wanted, result)]
        await self.journal.write(done, [*told, *ends])
        self.trace.tool_returned(span, result)
        return self._counted(wanted, result, REFUSED if result.is_error else COMPLETED)

    async def _decision(self, question: Question) -> Decision:
        """The decision that was made; without one the turn is suspended here."""
        return self._made(question) or await self.control.ask(question)

    def _made(self, question: Question) -> Decision | None:
        for decision in self.decisions:
            same = (decision.kind, decision.key, decision.digest) == (question.kind, question.key, question.digest)
            if same and not decision.used and decision.status != "pending":
                return decision
        return None

    async def _ask(self, wanted: Wanted, beside: Sequence[Wanted]) -> NoReturn:
        """Suspend the turn here; calls that come later in the same answer are asked about at once."""
        questions = [self._call_question(call) for call in beside if call.needs_approval]
        later = [
            self.control.ask(replace(question, of_call=False)) for question in questions if self._made(question) is None
        ]
        await asyncio.gather(self.control.ask(self._call_question(wanted)), *later)
        raise AssertionError

    def _call_question(self, wanted: Wanted) -> Question:
        return self._question(QuestionKind.TOOL_CALL, wanted, wanted.digest)

    async def _reserve(self) -> None:
        try:
            await self.budget.begin_tool_call()
        except BudgetExceeded as exceeded:
            if self.pause_on_budget and not exceeded.is_inherited:
                await self.control.ask(budget_question(exceeded, self.budget, of_call=True))
            self.control.abort(exceeded)
            raise

    def _question(self, kind: QuestionKind, wanted: Wanted, digest: str) -> Question:
        detail = {"tool_call_id": wanted.tool_call_id, "arguments": wanted.shown}
        return Question(kind, wanted.tool_call_id, digest, wanted.name, detail)

    def _step(self, wanted: Wanted) -> Step:
        return self.journal.begin(
            StepKind.TOOL_CALL,
            key=wanted.tool_call_id,
            name=wanted.name,
            effect=wanted.effect,
            hash=wanted.digest,
            request={"arguments": wanted.shown},
            usage=Usage(tool_calls=1),
        )

    def _counted(self, wanted: Wanted, result: ToolResult, outcome: str) -> ToolResult:
        self.journal.metrics.tool_called(wanted.label, outcome)
        return self._leave(wanted, result)

    def _leave(self, wanted: Wanted, result: ToolResult) -> ToolResult:
        self.observer.left(ToolCallCompleted(wanted.tool_call_id, wanted.name, result.text, result.is_error))
        return result


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, also where whoever waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.shield(task)


def _may_have_run_once(wanted: Wanted, step: Step) -> bool:
    """Whether a call that may not be repeated was perhaps done; one that is `cancelled` never began."""
    return wanted.effect is Effect.AT_MOST_ONCE and step.status is not StepStatus.CANCELLED


def _recorded(step: Step) -> ToolResult:
    response: Mapping[str, Any] = step.response or {}
    return ToolResult(response.get("text", ""), bool(response.get("is_error")))


def _again(wanted: Wanted, earlier: Step) -> str:
    """Word the result that the model is told of an earlier call."""
    request: Mapping[str, Any] = earlier.request or {}
    arguments = orjson.dumps(request["arguments"]).decode() if "arguments" in request else "arguments that are not kept"
    is_known = earlier.status is StepStatus.DONE
    outcome = f"It came to: {_recorded(earlier).text}" if is_known else "It is not known whether it was done."
    return _AGAIN.format(name=wanted.name, arguments=arguments[:_TOLD], outcome=outcome[:_TOLD])


def _ended() -> dict[str, float]:
    return {ENDED: time()}


def _denial(decision: Decision) -> str:
    if decision.status == "denied":
        return f"Not run: a human denied it.{f' {decision.note}' if decision.note else ''}"
    return "Not run: nobody approved it in time."


def _started(wanted: Wanted) -> NewEvent:
    data = {"tool_call_id": wanted.tool_call_id, "name": wanted.name, "arguments": wanted.written}
    return NewEvent(type="tool.started", data=data)


def _refused(wanted: Wanted, result: ToolResult) -> NewEvent:
    """The end of a call that was never started: it tells the arguments, too."""
    end = _completed(wanted, result)
    return NewEvent(type=end.type, data=end.data | {"arguments": wanted.written})


def _completed(wanted: Wanted, result: ToolResult) -> NewEvent:
    data = {"tool_call_id": wanted.tool_call_id, "name": wanted.name, "result": result.text}
    return NewEvent(type="tool.completed", data=data | {"is_error": result.is_error})
