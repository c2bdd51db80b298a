"""What a worker's log says of each attempt: whose it is, how it ended; nothing of what was said in it."""

from collections.abc import Callable
from time import perf_counter

import structlog

from activities.ports import TurnExecutor
from runtimes.errors import RuntimeFailure
from runtimes.turns import AttemptKey, StopReason, TurnOutcome, TurnRequest

log = structlog.get_logger(__name__)


class LoggedTurns:
    """A `TurnExecutor`: everything that is logged while a turn runs names its execution."""

    def __init__(self, executor: TurnExecutor) -> None:
        self._executor = executor

    async def run(self, turn: TurnRequest, key: AttemptKey, why_cancelled: Callable[[], StopReason]) -> TurnOutcome:
        """Run one try at a turn, and log how it ended."""
        structlog.contextvars.bind_contextvars(
            execution_id=turn.execution_id, organization_id=turn.organization_id, turn=turn.turn
        )
        began = perf_counter()
        try:
            outcome = await self._executor.run(turn, key, why_cancelled)
        except RuntimeFailure as failure:
            private = {"private": failure.private} if failure.private else {}
            log.warning("attempt failed", code=failure.code, seconds=_since(began), **private)
            raise
        log.info("attempt ended", status=outcome.status.value, runtime=outcome.runtime, seconds=_since(began))
        return outcome


def _since(began: float) -> float:
    return round(perf_counter() - began, 3)
