"""What ended an execution, read from the exception that ended its workflow."""

import asyncio
from typing import Any, cast

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from runtimes.turns import ExecutionEnd
from runtimes.types import ExecutionError

WORKER_LOST = ExecutionError(
    code="worker_lost",
    message="Every worker that took the turn stopped answering.",
    hint="Look at the workers' logs: holdfast pools list",
)
TURN_TIMED_OUT = ExecutionError(
    code="turn_timed_out",
    message="The turn took longer than it may.",
    hint="Start it again, with a smaller task.",
)


def end_of(failure: BaseException) -> ExecutionEnd:
    """The terminal state that a failure means."""
    if isinstance(failure, asyncio.CancelledError) or is_cancelled_exception(failure):
        return ExecutionEnd.CANCELLED
    return ExecutionEnd.TIMED_OUT if error_of(failure) == TURN_TIMED_OUT else ExecutionEnd.FAILED


def error_of(failure: BaseException) -> ExecutionError:
    """The error to record and to show."""
    cause = failure.cause if isinstance(failure, ActivityError) else failure
    if isinstance(cause, TimeoutError):
        return WORKER_LOST if cause.type is TimeoutType.HEARTBEAT else TURN_TIMED_OUT
    if isinstance(cause, ApplicationError):
        return _reported(cause)
    message = cause.message if isinstance(cause, FailureError) else str(cause)
    return ExecutionError(code="internal_error", message=message)


def partial_of(failure: BaseException) -> str:
    """Read the model's words from before its turn failed, as far as they travel with the failure."""
    cause = failure.cause if isinstance(failure, ActivityError) else failure
    said: Any = cause.details[1] if isinstance(cause, ApplicationError) and len(cause.details) > 1 else {}
    return str(cast("dict[str, Any]", said).get("response", "")) if isinstance(said, dict) else ""


def _reported(error: ApplicationError) -> ExecutionError:
    for detail in error.details:
        if isinstance(detail, dict):
            return ExecutionError.model_validate(detail)
    return ExecutionError(code=error.type or "internal_error", message=error.message)
