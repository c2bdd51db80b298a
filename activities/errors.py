"""The one place where a failure becomes an error of Temporal's."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError

from runtimes.errors import RuntimeFailure
from runtimes.types import ExecutionError

#: A fault inside the control plane may pass with a restart; one that is met so often stays.
FAULTS = 6


class ReadableFailures(DefaultFailureConverter):
    """Leaves out the stack of failures that say what happened; what nobody expected keeps its own."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """Fill in the failure as Temporal keeps it."""
        super().to_failure(exception, payload_converter, failure)
        if isinstance(exception, ApplicationError) and exception.details:
            failure.stack_trace = ""


@contextmanager
def translated_errors() -> Generator[None]:
    """Raise an `ApplicationError` in place of a `RuntimeFailure`; where it came from is no reader's business."""
    try:
        yield
    except RuntimeFailure as failure:
        error = failure.as_error()
        if _is_hopeless(error):
            error = error.model_copy(update={"retryable": False})
        raise application_error(
            error,
            retried=error.retryable and not failure.final,
            retry_after=failure.retry_after,
            partial=failure.partial,
        ) from None


def _is_hopeless(error: ExecutionError) -> bool:
    """Whether a fault of ours comes again and again: others must not wait for what can never be done."""
    return error.code == "internal_error" and activity.in_activity() and activity.info().attempt >= FAULTS


def application_error(
    error: ExecutionError, *, retried: bool, retry_after: float | None = None, partial: str = ""
) -> ApplicationError:
    """The error as Temporal shows it: type, sentence with remedy, retry delay; and what the model had said by then."""
    said = [{"response": partial}] if partial else []
    message = error.message if error.message.endswith((".", "!", "?")) else f"{error.message}."
    return ApplicationError(
        f"{message} {error.hint}".strip(),
        error.model_dump(),
        *said,
        type=error.code,
        non_retryable=not retried,
        next_retry_delay=None if retry_after is None else timedelta(seconds=retry_after),
    )
