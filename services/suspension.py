"""How a turn comes to wait for humans and for other executions, without a worker."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NoReturn
from uuid import UUID, uuid5

from runtimes.errors import BudgetExceeded, RuntimeFailure
from runtimes.turns import StopReason
from services.calls import CallLog
from services.cancellation import RunningTurn
from services.control_plane_client.models import ApprovalRequest, Decision, NewEvent
from services.event_publisher import EventPublisher
from services.turn_control import Question, QuestionKind

#: Seconds without a change after which no further call of the same answer is expected.
QUIET_SECONDS = 0.1
_IDS = UUID("c2a8e2ae-6c8e-4c61-9d0c-0f0a7c1f3b52")


class Suspension:
    """`services.turn_control.TurnControl` of one attempt: it collects the questions, then stops the turn."""

    def __init__(
        self,
        turn_id: str,
        publisher: EventPublisher,
        calls: CallLog,
        running: RunningTurn,
        decisions: Sequence[Decision],
        expires_seconds: float,
        fail: Callable[[RuntimeFailure], None],
    ) -> None:
        self._turn_id = turn_id
        self._publisher = publisher
        self._calls = calls
        self._running = running
        self._decisions = {decision.id: decision for decision in decisions}
        self._expires = expires_seconds
        self._fail = fail
        self._stopping: asyncio.Task[None] | None = None
        self._put_before: set[UUID] = set()
        self.waits: dict[str, float | None] = {}

    @property
    def wait_seconds(self) -> float | None:
        """When the first of the questions expires; None if none does."""
        return min((max(1.0, left) for left in self.waits.values() if left is not None), default=None)

    def abort(self, failure: RuntimeFailure) -> None:
        """End the turn with this failure."""
        self._fail(failure)

    async def ask(self, question: Question) -> NoReturn:
        """Put a question, unless it was put before, and suspend the turn as soon as nothing else goes on in it."""
        if question.kind is QuestionKind.CHILD:
            self.waits[question.key] = None
        else:
            await self._put(question, uuid5(_IDS, f"{self._turn_id}/{question.kind}/{question.key}/{question.digest}"))
        if question.of_call:
            self._calls.park()
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.Event().wait()
        raise AssertionError

    def close(self) -> None:
        """The attempt is over."""
        if self._stopping is not None:
            self._stopping.cancel()

    async def _put(self, question: Question, approval_id: UUID) -> None:
        found = self._decisions.get(approval_id)
        if found is not None and found.status != "pending" and question.kind is QuestionKind.BUDGET:
            refused = BudgetExceeded(f"The execution has reached its limit of {question.name}, which was not raised.")
            self._fail(refused)
            raise refused
        if approval_id in self._put_before:
            return
        self._put_before.add(approval_id)
        if found is None:
            await self._publisher.ask(self._request(question, approval_id), _requested(question, approval_id))
        self.waits[str(approval_id)] = self._expires if found is None else found.expires_in

    def _request(self, question: Question, approval_id: UUID) -> ApprovalRequest:
        return ApprovalRequest(
            id=approval_id,
            kind=question.kind,
            key=question.key,
            digest=question.digest,
            name=question.name,
            detail=dict(question.detail),
            expires_seconds=self._expires,
        )

    async def _stop(self) -> None:
        await self._calls.quiet(QUIET_SECONDS)
        self._running.stop(StopReason.SUSPEND)


def _requested(question: Question, approval_id: UUID) -> NewEvent:
    data = {"approval_id": str(approval_id), "kind": question.kind, "name": question.name, **question.detail}
    return NewEvent(type="approval.requested", data=data)
