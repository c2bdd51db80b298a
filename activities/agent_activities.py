"""The activity that runs a turn."""

from uuid import uuid4

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.errors import translated_errors
from activities.heartbeat import heartbeating
from activities.ports import TurnExecutor
from runtimes.turns import AttemptKey, StopReason, TurnOutcome, TurnRequest, TurnStatus


class AgentActivities:
    """What runtime workers serve."""

    def __init__(self, executor: TurnExecutor) -> None:
        self._executor = executor

    @activity.defn(name="execute_agent_llm")
    async def execute_agent_llm(self, turn: TurnRequest) -> TurnOutcome:
        """Run one turn to its end, an interruption, or a preemption."""
        with translated_errors():
            async with heartbeating():
                outcome = await self._executor.run(turn, _attempt_key(), _why_cancelled)
        details = activity.cancellation_details()
        if outcome.status is TurnStatus.PREEMPTED and details is not None and details.paused:
            raise ApplicationError("The activity was paused.", type="activity_paused")
        return outcome


def _attempt_key() -> AttemptKey:
    info = activity.info()
    return AttemptKey(
        workflow_id=info.workflow_id or "",
        run_id=info.workflow_run_id or "",
        try_number=info.attempt,
        token=uuid4().hex,
        started_at=info.started_time,
    )


def _why_cancelled() -> StopReason:
    details = activity.cancellation_details()
    if details is None or details.worker_shutdown or details.paused or details.reset:
        return StopReason.DRAIN
    if details.cancel_requested:
        return StopReason.CANCEL
    return StopReason.FENCED
