"""Light bookkeeping, served by workflow workers."""

from temporalio import activity

from activities.errors import translated_errors
from activities.ports import ExecutionLedger
from runtimes.turns import (
    Admission,
    AdmitExecution,
    ApprovalDecision,
    FinishExecution,
    Place,
    TurnOutcome,
    TurnRequest,
)


class ExecutionActivities:
    """Begin and end of executions that no worker and no API records."""

    def __init__(self, ledger: ExecutionLedger) -> None:
        self._ledger = ledger

    @activity.defn(name="admit_execution")
    async def admit_execution(self, request: AdmitExecution) -> Admission:
        """Admit an execution that a Temporal client started."""
        with translated_errors():
            return await self._ledger.admit(request)

    @activity.defn(name="place_execution")
    async def place_execution(self, execution_id: str, organization_id: str) -> Place:
        """Give an execution that waits for a pool its place, if there is one."""
        with translated_errors():
            return await self._ledger.place(execution_id, organization_id)

    @activity.defn(name="interrupt_turn")
    async def interrupt_turn(self, turn: TurnRequest) -> TurnOutcome:
        """Record that a turn was interrupted while no worker had it."""
        with translated_errors():
            return await self._ledger.interrupt(
                turn.model_copy(update={"run_id": activity.info().workflow_run_id or ""})
            )

    @activity.defn(name="decide_approval")
    async def decide_approval(self, execution_id: str, organization_id: str, decision: ApprovalDecision) -> str:
        """Record a decision that came through Temporal; gives the approval's status."""
        with translated_errors():
            return await self._ledger.decide(execution_id, organization_id, decision)

    @activity.defn(name="finish_execution")
    async def finish_execution(self, execution_id: str, request: FinishExecution) -> None:
        """Record an end that no worker recorded."""
        with translated_errors():
            await self._ledger.finish(execution_id, request)
