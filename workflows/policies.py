"""Timeouts and retries, in one place."""

from datetime import timedelta

from temporalio.common import RetryPolicy

#: How often a turn is handed to a worker. A frozen one takes as many as it had asked for and begins none of them, so
#: this is more than the control plane lets a turn be begun: a killed worker costs one of those, a preempted one none.
TURN_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=50,
    non_retryable_error_types=["TemporalTimeout:StartToClose"],
)

#: Bookkeeping is retried until the control plane is back; its own errors are not retryable.
BOOKKEEPING_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=10))
BOOKKEEPING_TIMEOUT = timedelta(seconds=30)

#: An execution that cannot be admitted for so long fails.
ADMISSION_TIMEOUT = timedelta(hours=1)

#: An interactive execution that hears nothing for so long completes.
IDLE_TIMEOUT = timedelta(hours=24)

#: Messages that may wait while a turn runs.
MAX_QUEUED_MESSAGES = 100

#: Characters of a message that comes through Temporal; longer ones go through the REST API.
MAX_INLINE_MESSAGE = 65_536
