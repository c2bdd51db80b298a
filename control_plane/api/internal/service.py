"""What workers report, and what they are told."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import errors
from control_plane.api.internal import statements
from control_plane.api.internal.family import FamilyBudget
from control_plane.api.internal.journal import TurnJournal
from control_plane.events import log
from control_plane.gateway import Present
from control_plane.metrics import ApiMetrics, LedgerCounts
from db.enums import TERMINAL, AttemptState, ExecutionStatus, TurnState
from db.models.executions import Execution, Turn
from db.session import Database
from runtimes.turns import SHORT_RESPONSE, FinishExecution, TurnOutcome, TurnStatus
from runtimes.types import Message, Usage
from services.control_plane_client.models import (
    AgentSpec,
    AppendEvents,
    AttemptEnd,
    AttemptOpened,
    CloseAttempt,
    NewEvent,
    OpenAttempt,
)

#: Characters of a prompt that its event shows; the whole message is in its session.
SHOWN_PROMPT = 2_000
#: How often a turn is begun each time that it is handed out.
MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class WantedTurn:
    """The number of a turn, with the message that was asked about; `is_other`: it is that of another message."""

    turn: int
    message_id: UUID
    is_other: bool = False


@dataclass(frozen=True, slots=True)
class TurnLedger:
    """Opens, feeds and closes the attempts of one execution, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    execution_id: UUID
    counts: LedgerCounts

    async def open(self, request: OpenAttempt, present: Present | None = None) -> AttemptOpened:
        """Take over a turn: fence out every earlier attempt, and those of other runs and tries than the present ones.

        Raises:
            errors.NotFound: the organization has no such execution.
            errors.AttemptFenced: a newer attempt holds the turn.
            errors.PresentUnknown: it is to be tried again with what the workflow is at.
            errors.ExecutionClosed: the execution has ended without this turn.
            errors.WorkerLost: the turn was begun as often as it may.
            errors.ValueInvalid: no message can have the id.
        """
        row = await self._locked(with_spec=True)
        is_new_run = _is_new_run(row, request, present)
        wanted = await self._wanted(row, request)
        held = (row.attempt_turn, row.attempt_dispatch, row.attempt_try)
        asked = (wanted.turn, request.dispatch, request.try_number)
        if asked == held and request.token == row.attempt_token:
            return await self._opened(row, wanted, row.attempt, await self._tries(wanted, request))
        closed = await self._closed_turn(row, wanted.turn) if wanted.turn <= row.attempt_turn else None
        if closed is not None:
            return closed
        if row.status in TERMINAL:
            raise errors.ExecutionClosed(f"The execution has ended: {row.status}.")
        if not is_new_run:
            _check_later(asked, held, request, present)
        return await self._take_over(row, request, wanted)

    async def append(self, attempt: int, request: AppendEvents) -> None:
        """Append events and text of the running attempt; a repeated batch does nothing.

        Raises:
            errors.AttemptFenced: a newer attempt holds the turn, the attempt is closed, or the execution has ended.
        """
        if await log.append(self.connection, self.execution_id, attempt, request):
            return
        row = await self._locked()
        if row.attempt != attempt or row.status in TERMINAL:
            raise errors.AttemptFenced("A newer attempt holds the turn.")
        if row.attempt_batch == log.CLOSED:
            raise errors.AttemptFenced("The attempt is closed: its open calls have been told to end.")

    async def close(self, attempt: int, request: CloseAttempt) -> bool:
        """End the attempt, and its turn and execution with it where that is what happened; True if it ended.

        Raises:
            errors.AttemptFenced: a newer attempt holds the turn, or the execution has ended.
        """
        row = await self._locked()
        if row.attempt == attempt and row.attempt_batch >= request.batch:
            return row.status in TERMINAL
        if row.attempt != attempt or row.status in TERMINAL:
            raise errors.AttemptFenced("A newer attempt holds the turn.")
        if request.end in (AttemptEnd.FAILED, AttemptEnd.PREEMPTED, AttemptEnd.SUSPENDED) and not request.ends_turn:
            await self._give_back(row, request)
            return False
        return await self._end_turn(row, request)

    async def finish(self, request: FinishExecution) -> bool:
        """Record the execution's end and shut out whoever still writes; False if it had ended."""
        row = await self._locked()
        if row.status in TERMINAL:
            return False
        error = request.error.model_dump() if request.error else None
        ended = NewEvent(type=f"execution.{request.end}", data={"error": error} if error else {})
        lost = Usage()
        if await statements.lose_attempt(self.connection, self.execution_id, row.attempt):
            self.counts.lost.append(row.runtime)
            lost = await self._journal(row.attempt_turn).used_by(row.attempt)
        self.counts.ended.append((row.runtime, request.end))
        events = [_used_by(row.attempt, lost), ended] if lost != Usage() else [ended]
        usage = Usage.model_validate(row.usage) + lost
        await statements.finish(self.connection, self.execution_id, request.end, error, usage, events)
        return True

    def _journal(self, turn: int) -> TurnJournal:
        return TurnJournal(self.connection, self.execution_id, turn)

    async def _locked(self, *, with_spec: bool = False) -> Row[Any]:
        row = await statements.lock(self.connection, self.organization_id, self.execution_id, with_spec=with_spec)
        if row is None:
            raise errors.NotFound(f"There is no execution '{self.execution_id}'.")
        return row

    async def _wanted(self, row: Row[Any], request: OpenAttempt) -> WantedTurn:
        """The turn to be taken: what the workflow has counted since a reset is no number of the database's."""
        message_id = self._message_id(request)
        if row.attempt_turn == 0:
            return WantedTurn(request.turn, message_id)
        own, open_ = await statements.turn_of(self.connection, row, message_id)
        if own is None and open_ is not None:
            return WantedTurn(open_, message_id, is_other=True)
        return WantedTurn(own or max(request.turn, row.attempt_turn + 1), message_id)

    async def _closed_turn(self, row: Row[Any], turn: int) -> AttemptOpened | None:
        outcome = await statements.turn_outcome(self.connection, self.execution_id, turn)
        if outcome is None:
            return None
        closed = TurnOutcome.model_validate({**outcome, "turn": turn})
        return AttemptOpened(attempt=closed.attempt, session_id=str(row.session_id), agent=_spec(row), closed=closed)

    async def _take_over(self, row: Row[Any], request: OpenAttempt, wanted: WantedTurn) -> AttemptOpened:
        attempt, tries = row.attempt + 1, 1
        events: list[NewEvent] = []
        if wanted.turn > row.attempt_turn:
            prompt = await self._begin_turn(row, request, wanted)
            if prompt is None:
                return _withdrawn(row)
            shown = {"turn": wanted.turn, "message_id": str(wanted.message_id), "prompt": prompt[:SHOWN_PROMPT]}
            events.append(NewEvent(type="turn.started", data=shown))
        else:
            tries += await self._tries(wanted, request)
            if tries > MAX_TRIES:
                raise errors.WorkerLost("Every worker that took the turn stopped answering.")
            events += await self._lost(row)
            events += await self._journal(wanted.turn).expire()
        started = {"worker_id": request.worker_id, "runtime": row.runtime}
        events.append(NewEvent(type="attempt.started", data=started))
        await statements.begin_attempt(
            self.connection, self.organization_id, self.execution_id, attempt, wanted.turn, request, events
        )
        return await self._opened(row, wanted, attempt, tries)

    async def _tries(self, wanted: WantedTurn, request: OpenAttempt) -> int:
        """How often the turn was begun since it was handed out; what a frozen worker was given does not count."""
        return await statements.tries(self.connection, self.execution_id, wanted.turn, request)

    async def _lost(self, row: Row[Any]) -> list[NewEvent]:
        if not await statements.lose_attempt(self.connection, self.execution_id, row.attempt):
            return []
        self.counts.lost.append(row.runtime)
        told = {"attempt": row.attempt, "worker_id": row.worker_id}
        lost = log.EventOfAttempt(type="attempt.lost", data=told, attempt=row.attempt)
        used = await self._journal(row.attempt_turn).used_by(row.attempt)
        if used == Usage():
            return [lost]
        spent = Usage.model_validate((await self._kept(row.attempt_turn)).usage)
        await statements.charge_lost(self.connection, row, spent + used, Usage.model_validate(row.usage) + used)
        return [_used_by(row.attempt, used), lost]

    async def _kept(self, turn: int) -> Any:
        """Read the usage and the offer of the attempts at a turn so far."""
        query = select(Turn.usage, Turn.offered).where(Turn.execution_id == self.execution_id, Turn.turn == turn)
        return (await self.connection.execute(query)).one()

    async def _begin_turn(self, row: Row[Any], request: OpenAttempt, wanted: WantedTurn) -> str | None:
        """The prompt; None where its sender was told that it was withdrawn, or there is no such message."""
        connection, organization_id, execution_id = self.connection, self.organization_id, self.execution_id
        if request.prompt is not None:
            await statements.store_message(
                connection, organization_id, execution_id, row.session_id, wanted.message_id, request.prompt
            )
        prompt = await statements.begin_turn(connection, organization_id, execution_id, wanted.turn, wanted.message_id)
        if prompt is None:
            await statements.tell_unknown(connection, execution_id, wanted.message_id)
        return prompt

    def _message_id(self, request: OpenAttempt) -> UUID:
        """A message that came through Temporal has the id that its update, or else its turn, gives it."""
        if request.message_id is not None:
            return _id(request.message_id)
        if request.message_key is not None:
            return uuid5(self.execution_id, f"update/{request.message_key}")
        return uuid5(self.execution_id, f"turn/{request.turn}")

    async def _opened(self, row: Row[Any], wanted: WantedTurn, attempt: int, tries: int) -> AttemptOpened:
        turn = wanted.turn
        messages = await statements.conversation(self.connection, self.execution_id, row.session_id, turn)
        opened = AttemptOpened(
            attempt=attempt,
            session_id=str(row.session_id),
            agent=_spec(row),
            turn=turn,
            is_other=wanted.is_other,
            last_try=tries >= MAX_TRIES,
            prompt=messages[-1].content,
            history=[Message(role=message.role, content=message.content) for message in messages[:-1]],
            interactive=row.interactive,
            used=Usage.model_validate(row.usage),
            seconds=row.seconds,
            budget=row.budget,
            output_schema=row.output_schema,
            workspace=row.workspace,
            shared=await FamilyBudget(self.connection, self.execution_id).shared(row, row.seconds),
        )
        if turn > 1 or turn == row.attempt_turn:
            opened.decisions = await self._journal(turn).decisions()
        return opened if turn > row.attempt_turn else await self._with_journal(opened, turn)

    async def _with_journal(self, opened: AttemptOpened, turn: int) -> AttemptOpened:
        journal = self._journal(turn)
        row = await self._locked()
        kept = await self._kept(turn)
        opened.spent, opened.offered = Usage.model_validate(kept.usage), kept.offered
        opened.used, opened.seconds = Usage.model_validate(row.usage), row.seconds
        opened.steps = await journal.steps()
        opened.told = await journal.told()
        return opened

    async def _give_back(self, row: Row[Any], request: CloseAttempt) -> None:
        data = {"error": request.error.model_dump()} if request.error else {}
        events = [*request.events, _used(request.usage), NewEvent(type=f"attempt.{request.end}", data=data)]
        if request.end is AttemptEnd.SUSPENDED:
            events.append(NewEvent(type="execution.waiting", data={"waits": request.waits}))
        usage = Usage.model_validate(row.usage) + request.usage
        await statements.end_attempt(self.connection, row, request, AttemptState(request.end), usage, events)

    async def _end_turn(self, row: Row[Any], request: CloseAttempt) -> bool:
        outcome = _outcome(row, request)
        text = request.response or _last_text(request.events)
        message_id = uuid5(self.execution_id, f"turn/{row.attempt_turn}/answer") if text else None
        status = _status_after(row, request)
        if status in TERMINAL:
            self.counts.ended.append((row.runtime, status))
        await statements.end_turn(
            self.connection,
            row,
            request,
            status=status,
            state=TurnState(request.end),
            outcome=outcome,
            usage=Usage.model_validate(row.usage) + request.usage,
            answer=(message_id, text),
            events=[*request.events, *_closing_events(row, request, status, message_id)],
        )
        return status in TERMINAL


@asynccontextmanager
async def turn_ledger(
    database: Database, metrics: ApiMetrics, organization_id: UUID, execution_id: UUID
) -> AsyncGenerator[TurnLedger]:
    """A ledger in a transaction of its own; what it counts is in the metrics once that is committed."""
    counts = LedgerCounts()
    async with database.transaction(organization_id) as connection:
        yield TurnLedger(connection, organization_id, execution_id, counts)
    metrics.committed(counts)


async def execution_exists(connection: AsyncConnection, organization_id: UUID, execution_id: UUID) -> bool:
    """Whether the organization has such an execution."""
    query = select(Execution.id).where(Execution.id == execution_id, Execution.organization_id == organization_id)
    return (await connection.execute(query)).first() is not None


def _id(message_id: str) -> UUID:
    try:
        return UUID(message_id)
    except ValueError:
        raise errors.ValueInvalid(f"'{message_id[:80]}' is no id of a message.") from None


def _is_new_run(row: Row[Any], request: OpenAttempt, present: Present | None) -> bool:
    """Whether the workflow goes on in another run, as after a reset, so that its counts begin anew."""
    if not row.attempt_run or not request.run_id or row.attempt_run == request.run_id:
        return False
    if present is None:
        raise errors.PresentUnknown("Another run of the workflow holds the turn.")
    if present.run_id != request.run_id:
        raise errors.AttemptFenced("A newer run of the workflow holds the execution.")
    return True


def _check_later(
    asked: tuple[int, int, int], held: tuple[int, int, int], request: OpenAttempt, present: Present | None
) -> None:
    """Refuse a turn, dispatch and try that are not later, unless a reset of the activity counts its tries from 1 again.

    The moment at which a try began does not repeat.
    """
    if asked > held:
        return
    may_be_reset = asked[:2] == held[:2] and request.started_at is not None
    if may_be_reset and present is None:
        raise errors.PresentUnknown("A later try holds the turn.")
    if not may_be_reset or present is None or present.started_at != request.started_at:
        raise errors.AttemptFenced("A newer attempt holds the turn.")


def _withdrawn(row: Row[Any]) -> AttemptOpened:
    closed = TurnOutcome(status=TurnStatus.INTERRUPTED, session_id=str(row.session_id), attempt=row.attempt, turn=0)
    return AttemptOpened(attempt=row.attempt, session_id=str(row.session_id), agent=_spec(row), closed=closed)


def _spec(row: Row[Any]) -> AgentSpec:
    """The pinned agent, on the runtime that the execution was given."""
    return AgentSpec.model_validate(row.spec).model_copy(update={"runtime": row.runtime})


def _outcome(row: Row[Any], request: CloseAttempt) -> TurnOutcome:
    return TurnOutcome(
        status=TurnStatus(request.end),
        session_id=str(row.session_id),
        attempt=row.attempt,
        response=request.response[:SHORT_RESPONSE],
        response_truncated=len(request.response) > SHORT_RESPONSE,
        usage=request.spent + request.usage,
        tool_messages=request.tool_messages,
        model=request.model,
        runtime=row.runtime,
        finish_reason=request.finish_reason,
        output=request.output,
        error=request.error,
    )


def _status_after(row: Row[Any], request: CloseAttempt) -> ExecutionStatus:
    """An interrupted turn leaves the end of a one-turn execution to its workflow."""
    if row.interactive:
        return ExecutionStatus.WAITING
    return ExecutionStatus.COMPLETED if request.end is AttemptEnd.COMPLETED else ExecutionStatus.RUNNING


def _closing_events(
    row: Row[Any], request: CloseAttempt, status: ExecutionStatus, message_id: UUID | None
) -> list[NewEvent]:
    turn: dict[str, Any] = {"turn": row.attempt_turn, "finish_reason": request.finish_reason}
    if message_id is not None:
        turn["response_message_id"] = str(message_id)
    if request.error is not None:
        turn["error"] = request.error.model_dump()
    events = [
        _used(request.usage),
        NewEvent(type=f"turn.{request.end}", data=turn),
    ]
    if status is not ExecutionStatus.RUNNING:
        events.append(NewEvent(type=f"execution.{status}"))
    return events


def _used(usage: Usage) -> NewEvent:
    return NewEvent(type="usage", data=usage.model_dump())


def _used_by(attempt: int, usage: Usage) -> NewEvent:
    return log.EventOfAttempt(type="usage", data=usage.model_dump(), attempt=attempt)


def _last_text(events: list[NewEvent]) -> str:
    texts = [event.data["text"] for event in events if event.type == "message.completed"]
    return texts[-1] if texts else ""
