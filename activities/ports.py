"""What activities need done; services do it, the composition root brings the two together."""

from collections.abc import Callable
from typing import Protocol

from runtimes.turns import (
    Admission,
    AdmitExecution,
    ApprovalDecision,
    AttemptKey,
    FinishExecution,
    Place,
    StopReason,
    TurnOutcome,
    TurnRequest,
)


class TurnExecutor(Protocol):
    """Runs a turn to its end, an interruption or a preemption."""

    async def run(self, turn: TurnRequest, key: AttemptKey, why_cancelled: Callable[[], StopReason]) -> TurnOutcome:
        """Run one try at a turn.

        `why_cancelled` is asked when the calling task is cancelled.

        Raises:
            RuntimeFailure: the try failed; `retryable` says whether another may help.
        """
        ...


class ExecutionLedger(Protocol):
    """Records what happens to executions while no worker and no API records it."""

    async def admit(self, request: AdmitExecution) -> Admission:
        """Give an execution its row, idempotently."""
        ...

    async def place(self, execution_id: str, organization_id: str) -> Place:
        """Give an execution that waits for a pool its place, if there is one, idempotently."""
        ...

    async def interrupt(self, turn: TurnRequest) -> TurnOutcome:
        """End a turn that no worker has, idempotently."""
        ...

    async def decide(self, execution_id: str, organization_id: str, decision: ApprovalDecision) -> str:
        """Record a decision, once; gives the approval's status."""
        ...

    async def finish(self, execution_id: str, request: FinishExecution) -> None:
        """Record an execution's end, idempotently."""
        ...
