"""The one place where a failure of a turn becomes an error of Temporal's."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from runtimes.errors import RuntimeFailure


@contextmanager
def translated_errors() -> Generator[None]:
    """Raise an `ApplicationError` in place of a `RuntimeFailure`: type, sentence with remedy, retry delay."""
    try:
        yield
    except RuntimeFailure as failure:
        error = failure.as_error()
        raise ApplicationError(
            f"{error.message} {error.hint}".strip(),
            error.model_dump(),
            type=error.code,
            non_retryable=not error.retryable,
            next_retry_delay=None if failure.retry_after is None else timedelta(seconds=failure.retry_after),
        ) from failure
