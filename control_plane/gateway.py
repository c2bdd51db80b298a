"""The one user of Temporal's client: starts, cancels, updates, describes executions."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.queues import WORKFLOW_QUEUE
from control_plane.errors import (
    Conflict,
    ExecutionClosed,
    ExecutionNotInteractive,
    HoldfastError,
    QueueFull,
    TemporalUnavailable,
    TurnNotRunning,
)
from runtimes.turns import Admission, ExecutionEnd
from runtimes.types import ExecutionError
from workflows.agent_execution import AgentExecutionWorkflow
from workflows.failures import error_of
from workflows.types import AgentExecutionInput, QueuedMessage

RPC_TIMEOUT = timedelta(seconds=5)
UPDATE_TIMEOUT = timedelta(seconds=10)

ENDS = {
    WorkflowExecutionStatus.COMPLETED: ExecutionEnd.COMPLETED,
    WorkflowExecutionStatus.FAILED: ExecutionEnd.FAILED,
    WorkflowExecutionStatus.TERMINATED: ExecutionEnd.FAILED,
    WorkflowExecutionStatus.CANCELED: ExecutionEnd.CANCELLED,
    WorkflowExecutionStatus.TIMED_OUT: ExecutionEnd.TIMED_OUT,
}
#: What a rejected update means to the API.
REFUSALS = {kind.code: kind for kind in (ExecutionClosed, ExecutionNotInteractive, QueueFull, TurnNotRunning)}
TERMINATED = ExecutionError(code="workflow_terminated", message="The workflow was terminated in Temporal.")
TIMED_OUT = ExecutionError(code="workflow_timed_out", message="The workflow ran out of the time Temporal gave it.")


class TemporalGateway:
    """Executions as workflows.

    Raises:
        TemporalUnavailable: Temporal did not answer.
        Conflict: the workflow refused.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(
        self, workflow_id: str, admission: Admission, *, interactive: bool, metadata: dict[str, Any]
    ) -> None:
        """Start an admitted execution's workflow; starting it again does nothing."""
        state = AgentExecutionInput(
            agent_id=admission.agent_id,
            execution_id=admission.execution_id,
            interactive=interactive,
            metadata=metadata,
            admission=admission,
        )
        with _temporal_errors():
            try:
                await self._client.start_workflow(
                    AgentExecutionWorkflow.run,
                    state,
                    id=workflow_id,
                    task_queue=WORKFLOW_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=_search_attributes(admission),
                    static_summary=f"{admission.agent_name} on {admission.runtime}",
                    rpc_timeout=RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return

    async def cancel(self, workflow_id: str) -> None:
        """Request cancellation."""
        with _temporal_errors():
            await self._handle(workflow_id).cancel(rpc_timeout=RPC_TIMEOUT)

    async def interrupt(self, workflow_id: str) -> None:
        """End the running turn."""
        with _temporal_errors():
            handle = self._handle(workflow_id)
            await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                AgentExecutionWorkflow.interrupt, rpc_timeout=UPDATE_TIMEOUT
            )

    async def send_message(self, workflow_id: str, message_id: str) -> None:
        """Queue a stored message; sending it again does nothing."""
        with _temporal_errors():
            handle = self._handle(workflow_id)
            message = QueuedMessage(message_id=message_id)
            await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                AgentExecutionWorkflow.send_message, message, id=message_id, rpc_timeout=UPDATE_TIMEOUT
            )

    async def close(self, workflow_id: str) -> None:
        """Let the execution complete once its messages are answered."""
        with _temporal_errors():
            await self._handle(workflow_id).signal(AgentExecutionWorkflow.close, rpc_timeout=RPC_TIMEOUT)

    async def end_of(self, workflow_id: str) -> tuple[ExecutionEnd | None, ExecutionError | None]:
        """How the workflow ended, with its error; None while it runs.

        Raises:
            KeyError: Temporal knows no such workflow.
        """
        handle = self._handle(workflow_id)
        with _temporal_errors(missing=KeyError(workflow_id)):
            status = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
        end = ENDS.get(status) if status is not None else None
        if status is WorkflowExecutionStatus.TERMINATED:
            return end, TERMINATED
        if end is ExecutionEnd.TIMED_OUT:
            return end, TIMED_OUT
        return end, await _failure(handle) if end is ExecutionEnd.FAILED else None

    async def ping(self) -> None:
        """Check that Temporal answers."""
        with _temporal_errors():
            await self._client.service_client.check_health(timeout=timedelta(seconds=2))

    def _handle(self, workflow_id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(workflow_id)


async def _failure(handle: WorkflowHandle[Any, Any]) -> ExecutionError:
    try:
        await handle.result(rpc_timeout=RPC_TIMEOUT)
    except WorkflowFailureError as failure:
        return error_of(failure.cause)
    return ExecutionError(code="internal_error", message="The workflow failed.")


def _search_attributes(admission: Admission) -> TypedSearchAttributes:
    values = {
        "OrganizationId": admission.organization_id,
        "AgentId": admission.agent_id,
        "Runtime": admission.runtime,
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    )


@contextmanager
def _temporal_errors(missing: Exception | None = None) -> Generator[None]:
    """Raise the API's errors in place of Temporal's."""
    try:
        yield
    except WorkflowUpdateFailedError as error:
        raise _refused(error.cause) from error
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        raise TemporalUnavailable("No workflow worker took the request in time.") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise missing or ExecutionClosed("The execution has ended.") from error
        raise TemporalUnavailable(f"Temporal did not answer: {error.message}") from error


def _refused(cause: BaseException | None) -> HoldfastError:
    if not isinstance(cause, ApplicationError):
        return Conflict(str(cause))
    return REFUSALS.get(cause.type or "", Conflict)(cause.message)
