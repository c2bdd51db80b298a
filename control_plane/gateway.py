"""The one user of Temporal's client: starts, cancels, updates, describes executions."""

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
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
from temporalio.exceptions import ApplicationError, TerminatedError, TimeoutError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.queues import WORKFLOW_QUEUE
from control_plane.errors import (
    Conflict,
    ExecutionClosed,
    ExecutionNotInteractive,
    HoldfastError,
    InstallationForeign,
    QueueFull,
    TemporalRejected,
    TemporalUnavailable,
    TurnNotRunning,
)
from control_plane.temporal import claim_namespace
from runtimes.turns import Admission, ExecutionEnd
from runtimes.types import ExecutionError
from workflows.agent_execution import AgentExecutionWorkflow
from workflows.failures import end_of, error_of
from workflows.fairness import priority_of
from workflows.types import AgentExecutionInput, QueuedMessage

RPC_TIMEOUT = timedelta(seconds=5)
UPDATE_TIMEOUT = timedelta(seconds=10)

log = structlog.get_logger(__name__)

#: Temporal's states of a workflow that has ended.
ENDED = frozenset(
    {
        WorkflowExecutionStatus.COMPLETED,
        WorkflowExecutionStatus.FAILED,
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.CANCELED,
        WorkflowExecutionStatus.TIMED_OUT,
    }
)
#: What passes by itself; any other refusal of Temporal's stays until somebody mends its cause.
PASSING = frozenset(
    {
        RPCStatusCode.CANCELLED,
        RPCStatusCode.UNKNOWN,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DATA_LOSS,
    }
)
#: Names what is searched for, so that Temporal refuses it where a name is missing.
SEARCH = "OrganizationId = '' AND AgentId = '' AND Runtime = ''"
#: How Temporal says that a search attribute is missing: when a workflow is started, and when one is searched for.
UNSEARCHABLE = ("search attribute", "column name")
MAKE_SEARCH_ATTRIBUTES = (
    "Create them: temporal operator search-attribute create --name OrganizationId --type Keyword"
    " --name AgentId --type Keyword --name Runtime --type Keyword"
)
#: What a rejected update means to the API.
REFUSALS = {kind.code: kind for kind in (ExecutionClosed, ExecutionNotInteractive, QueueFull, TurnNotRunning)}
TERMINATED = ExecutionError(code="workflow_terminated", message="The workflow was terminated in Temporal.")
TIMED_OUT = ExecutionError(code="workflow_timed_out", message="The workflow ran out of the time Temporal gave it.")


@dataclass(frozen=True, slots=True)
class Present:
    """What a workflow is at: its run, and when the try at a turn that runs now began; None where none does."""

    run_id: str
    started_at: datetime | None = None


class WorkflowMissing(ExecutionClosed):
    """Temporal knows no such workflow that runs: it has ended, or was never started."""


class TemporalGateway:
    """Executions as workflows.

    `first_run_id` is given where the workflow's id may have been used again: what is another's stays untouched.

    Raises:
        TemporalUnavailable: Temporal did not answer.
        TemporalRejected: Temporal does not do that until its cause is mended.
        InstallationForeign: the namespace serves another installation, which is left alone.
        Conflict: the workflow refused.
    """

    def __init__(self, client: Client, installation: Callable[[], Awaitable[UUID]] | None = None) -> None:
        self._client = client
        self._installation = installation
        self._holds_namespace = installation is None
        self._searchable = False

    async def hold_namespace(self) -> None:
        """Claim the namespace for this installation, once."""
        if self._holds_namespace or self._installation is None:
            return
        own = str(await self._installation())
        with _temporal_errors():
            owner = await claim_namespace(self._client, own)
        if owner != own:
            where = f"Temporal's namespace '{self._client.namespace}'"
            raise InstallationForeign(f"{where} serves another Holdfast installation, {owner}; this one is {own}.")
        self._holds_namespace = True

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
        await self.hold_namespace()
        with _temporal_errors():
            try:
                await self._client.start_workflow(
                    AgentExecutionWorkflow.run,
                    args=[state],
                    id=workflow_id,
                    task_queue=WORKFLOW_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=_search_attributes(admission),
                    priority=priority_of(admission),
                    static_summary=f"{admission.agent_name} on {admission.runtime}",
                    rpc_timeout=RPC_TIMEOUT,
                )
            except WorkflowAlreadyStartedError:
                return

    async def cancel(self, workflow_id: str, first_run_id: str | None) -> None:
        """Request cancellation."""
        with _temporal_errors():
            await self._handle(workflow_id, first_run_id).cancel(rpc_timeout=RPC_TIMEOUT)

    async def interrupt(self, workflow_id: str, first_run_id: str | None, turn: int) -> None:
        """End a turn; doing it again, or once another one runs, does nothing."""
        with _temporal_errors():
            handle = self._handle(workflow_id, first_run_id)
            await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                AgentExecutionWorkflow.interrupt, turn, id=f"interrupt/{turn}", rpc_timeout=UPDATE_TIMEOUT
            )

    async def send_message(self, workflow_id: str, first_run_id: str | None, message_id: str) -> None:
        """Queue a stored message; the workflow queues none twice."""
        with _temporal_errors():
            handle = self._handle(workflow_id, first_run_id)
            message = QueuedMessage(message_id=message_id)
            await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                AgentExecutionWorkflow.send_message, message, rpc_timeout=UPDATE_TIMEOUT
            )

    async def close(self, workflow_id: str, first_run_id: str | None) -> None:
        """Let the execution complete once its messages are answered."""
        with _temporal_errors():
            handle = await self._own(workflow_id, first_run_id)
            await handle.signal(AgentExecutionWorkflow.close, rpc_timeout=RPC_TIMEOUT)

    async def answered(self, workflow_id: str, first_run_id: str | None, waits: Sequence[str]) -> None:
        """Tell a suspended turn what it need not wait for any more; telling it again does nothing."""
        with _temporal_errors():
            handle = await self._own(workflow_id, first_run_id)
            await handle.signal(AgentExecutionWorkflow.answered, list(waits), rpc_timeout=RPC_TIMEOUT)

    async def place(self, workflow_id: str, first_run_id: str | None) -> None:
        """Tell an execution that waits for a pool that one fits; telling it again does nothing."""
        with _temporal_errors():
            handle = await self._own(workflow_id, first_run_id)
            await handle.signal(AgentExecutionWorkflow.place, rpc_timeout=RPC_TIMEOUT)

    async def end_of(
        self, workflow_id: str, first_run_id: str | None
    ) -> tuple[ExecutionEnd | None, ExecutionError | None]:
        """How the workflow ended, with its error; None while it runs.

        Raises:
            KeyError: Temporal knows no such workflow.
        """
        handle = self._handle(workflow_id)
        with _temporal_errors(missing=KeyError(workflow_id)):
            latest = await _latest(handle)
            if first_run_id not in (None, latest.first_run_id):
                return await self._end_before(workflow_id, first_run_id)
            if WorkflowExecutionStatus(latest.status) not in ENDED:
                return None, None
            return await _end(handle)

    async def present(self, workflow_id: str, first_run_id: str | None) -> Present:
        """The run that the workflow is in, or was in last, and the try at a turn that runs.

        Raises:
            ExecutionClosed: Temporal has forgotten it, or others have its id now.
        """
        with _temporal_errors():
            handle = await self._own(workflow_id, first_run_id)
            described = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).raw_description
        turns = [each for each in described.pending_activities if each.activity_type.name == "execute_agent_llm"]
        started = [each.last_started_time.ToDatetime(UTC) for each in turns if each.HasField("last_started_time")]
        return Present(described.workflow_execution_info.execution.run_id, started[0] if started else None)

    async def backlog(self, queue: str) -> int:
        """About how many turns wait in a task queue."""
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
        with _temporal_errors():
            answer = await self._client.workflow_service.describe_task_queue(request, timeout=timedelta(seconds=2))
        return answer.stats.approximate_backlog_count

    async def check(self) -> None:
        """Check that Temporal answers and, once, that it knows our search attributes and that the namespace is ours."""
        with _temporal_errors():
            await self._client.service_client.check_health(timeout=timedelta(seconds=2))
            if not self._searchable:
                await self._client.count_workflows(SEARCH, rpc_timeout=timedelta(seconds=2))
                self._searchable = True
        await self.hold_namespace()

    async def _end_before(
        self, workflow_id: str, first_run_id: str | None
    ) -> tuple[ExecutionEnd, ExecutionError | None]:
        """The end of runs whose workflow id others have now; Temporal may have forgotten them."""
        try:
            with _temporal_errors(missing=KeyError(workflow_id)):
                return await _end(self._client.get_workflow_handle(workflow_id, run_id=first_run_id))
        except KeyError:
            return ExecutionEnd.FAILED, TERMINATED

    async def _own(self, workflow_id: str, first_run_id: str | None) -> WorkflowHandle[Any, Any]:
        """A handle to be signalled: signals do not say which of the runs of an id is meant."""
        handle = self._handle(workflow_id)
        if first_run_id is not None and first_run_id != (await _latest(handle)).first_run_id:
            raise ExecutionClosed("The execution has ended: its workflow's id was used again.")
        return handle

    def _handle(self, workflow_id: str, first_run_id: str | None = None) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(workflow_id, first_execution_run_id=first_run_id)


async def _latest(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionInfo:
    described = await handle.describe(rpc_timeout=RPC_TIMEOUT)
    return described.raw_description.workflow_execution_info


async def _end(handle: WorkflowHandle[Any, Any]) -> tuple[ExecutionEnd, ExecutionError | None]:
    """The end of a workflow that has ended, read from its last run."""
    try:
        await handle.result(rpc_timeout=RPC_TIMEOUT)
    except WorkflowFailureError as failure:
        return _unhappy_end(failure.cause)
    return ExecutionEnd.COMPLETED, None


def _unhappy_end(cause: BaseException) -> tuple[ExecutionEnd, ExecutionError | None]:
    if isinstance(cause, TerminatedError):
        return ExecutionEnd.FAILED, TERMINATED
    if isinstance(cause, TimeoutError):
        return ExecutionEnd.TIMED_OUT, TIMED_OUT
    end = end_of(cause)
    return end, None if end is ExecutionEnd.CANCELLED else error_of(cause)


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
        raise _meaning(error, missing) from error
    except RuntimeError as error:
        # The SDK's word for: no connection, ever since this process began.
        raise TemporalUnavailable("Temporal cannot be reached.") from error


def _meaning(error: RPCError, missing: Exception | None) -> Exception:
    if error.status is RPCStatusCode.NOT_FOUND and not _lacks_namespace(error):
        return missing or WorkflowMissing("The execution has ended.")
    if error.status in PASSING:
        log.warning("Temporal did not answer", error=error.message)
        return TemporalUnavailable("Temporal did not answer.")
    hint = MAKE_SEARCH_ATTRIBUTES if _lacks_search_attributes(error) else ""
    return TemporalRejected(f"Temporal refuses: {error.message}", hint=hint)


def _lacks_namespace(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


def _lacks_search_attributes(error: RPCError) -> bool:
    return error.status is RPCStatusCode.INVALID_ARGUMENT and any(sign in error.message for sign in UNSEARCHABLE)


def _refused(cause: BaseException | None) -> HoldfastError:
    if not isinstance(cause, ApplicationError):
        return Conflict(str(cause))
    return REFUSALS.get(cause.type or "", Conflict)(cause.message)
