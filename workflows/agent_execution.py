"""The workflow of an execution: its turns, its messages, its end."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from activities.errors import application_error
from runtimes.turns import (
    Admission,
    AdmitExecution,
    ApprovalDecision,
    ExecutionEnd,
    FinishExecution,
    Place,
    TurnOutcome,
    TurnRequest,
    TurnStatus,
)
from runtimes.types import ExecutionError
from workflows import policies
from workflows.failures import end_of, error_of
from workflows.fairness import priority_of
from workflows.types import (
    AgentExecutionInput,
    AgentExecutionResult,
    ExecutionState,
    QueuedMessage,
    from_client,
)

ORGANIZATION_ID = SearchAttributeKey.for_keyword("OrganizationId")
AGENT_ID = SearchAttributeKey.for_keyword("AgentId")
RUNTIME = SearchAttributeKey.for_keyword("Runtime")


@workflow.defn(name="AgentExecutionWorkflow")
class AgentExecutionWorkflow:
    """One execution. All waiting happens here, never in an activity.

    Its input is an `AgentExecutionInput` in JSON; what is not one is refused by admission, not by the decoder.
    """

    @workflow.init
    def __init__(self, given: Any = None) -> None:
        self._given = given
        self._state = AgentExecutionInput.read(given, workflow.info())
        self._own_id = workflow.uuid4()
        self._execution_id = self._state.execution_id or str(self._own_id)
        self._running: workflow.ActivityHandle[TurnOutcome] | None = None
        self._interrupting = False
        self._waits: set[str] = set()
        self._answered: set[str] = set()
        self._pool_fits = False

    @workflow.run
    async def run(self, given: Any = None) -> AgentExecutionResult:
        """Admit the execution, take its turns, record its end."""
        try:
            await self._admit()
            await self._find_pool()
            while await self._has_message():
                await self._take_turn()
                self._honour_cancellation()
                self._continue_as_new_if_long()
                self._move_to_newer_workers()
            await self._complete()
        except (asyncio.CancelledError, FailureError) as failure:
            await self._fail(failure)
        return self._result()

    @workflow.update
    def send_message(self, message: QueuedMessage) -> int:
        """Queue a user message for the next turn; answers with the number of messages that wait."""
        self._state.pending.append(message)
        return len(self._state.pending)

    @send_message.validator
    def _may_send(self, message: QueuedMessage) -> None:
        if not self._state.interactive:
            _reject("execution_not_interactive", "The execution takes one message only; start it as interactive.")
        if self._state.closing:
            _reject("execution_closed", "The execution is closing and takes no more messages.")
        if len(self._state.pending) >= policies.MAX_QUEUED_MESSAGES:
            _reject("queue_full", f"{policies.MAX_QUEUED_MESSAGES} messages wait already; send it again later.")
        if message.message_id is None:
            _check_content(message.content or "")

    @workflow.update
    def interrupt(self) -> int:
        """End the running turn and keep the execution; answers with the turn's number."""
        self._interrupting = True
        if self._running is not None:
            self._running.cancel()
        return self._state.turn

    @interrupt.validator
    def _may_interrupt(self) -> None:
        if self._running is None and not self._waits:
            _reject("turn_not_running", "No turn is running.")

    @workflow.update
    async def decide_approval(self, decision: ApprovalDecision) -> str:
        """Decide an approval of this execution; answers with its status."""
        status = await workflow.execute_activity(
            "decide_approval",
            args=[self._execution_id, self._admission.organization_id, decision],
            result_type=str,
            start_to_close_timeout=policies.BOOKKEEPING_TIMEOUT,
            retry_policy=policies.BOOKKEEPING_RETRY,
            priority=priority_of(self._admission),
        )
        self._answered.add(decision.approval_id)
        return status

    @decide_approval.validator
    def _may_decide(self, decision: ApprovalDecision) -> None:
        if self._state.admission is None or (self._waits and decision.approval_id not in self._waits):
            _reject("approval_not_found", f"The execution does not wait for the approval '{decision.approval_id}'.")

    @workflow.signal
    def answered(self, waits: list[str]) -> None:
        """What a suspended turn waits for has come: approvals are decided, other executions have ended."""
        self._answered.update(waits)

    @workflow.signal
    def place(self) -> None:
        """A pool that fits is live: an execution that waits for one asks for its place."""
        self._pool_fits = True

    @workflow.signal
    def close(self) -> None:
        """Complete the execution once the queued messages are answered."""
        self._state.closing = True

    @workflow.query
    def state(self) -> ExecutionState:
        """Where the execution is."""
        return ExecutionState(
            execution_id=self._execution_id,
            turn=self._state.turn,
            running=self._running is not None,
            queued_messages=len(self._state.pending),
            closing=self._state.closing,
            waits=sorted(self._waits),
        )

    @property
    def _admission(self) -> Admission:
        if self._state.admission is None:
            raise ApplicationError("The execution was not admitted.", type="internal_error", non_retryable=True)
        return self._state.admission

    async def _admit(self) -> None:
        if self._state.admission is None:
            self._state.admission = await self._ask_for_admission()
            self._state.execution_id = self._execution_id = self._admission.execution_id
            self._upsert_search_attributes()
        if self._state.turn == 0 and self._admission.message_id and not self._state.pending:
            self._state.pending.append(QueuedMessage(message_id=self._admission.message_id))
        self._state.prompt = None

    async def _find_pool(self) -> None:
        """Wait until a live pool fits, or nothing is left to do."""
        while not self._admission.task_queue:
            self._describe("waiting for a pool", f"needed: `{self._admission.deploy}`")
            await workflow.wait_condition(lambda: self._pool_fits or self._is_idle_and_closing())
            if not self._pool_fits:
                return
            self._pool_fits = False
            place = await self._ask_for_place()
            self._state.admission = self._admission.model_copy(update=place.model_dump())
            self._upsert_search_attributes()

    def _is_idle_and_closing(self) -> bool:
        return self._state.closing and not self._state.pending

    async def _ask_for_place(self) -> Place:
        return await workflow.execute_activity(
            "place_execution",
            args=[self._execution_id, self._admission.organization_id],
            result_type=Place,
            start_to_close_timeout=policies.BOOKKEEPING_TIMEOUT,
            retry_policy=policies.BOOKKEEPING_RETRY,
            priority=priority_of(self._admission),
        )

    async def _ask_for_admission(self) -> Admission:
        info = workflow.info()
        request = AdmitExecution(
            execution_id=self._own_id,
            workflow_id=info.workflow_id,
            first_run_id=info.first_execution_run_id,
            input=from_client(self._given),
            priority=info.priority.priority_key,
        )
        return await workflow.execute_activity(
            "admit_execution",
            request,
            result_type=Admission,
            start_to_close_timeout=policies.BOOKKEEPING_TIMEOUT,
            schedule_to_close_timeout=policies.ADMISSION_TIMEOUT,
            retry_policy=policies.BOOKKEEPING_RETRY,
        )

    def _upsert_search_attributes(self) -> None:
        admission = self._admission
        workflow.upsert_search_attributes(  # pyright: ignore[reportUnknownMemberType]
            [
                ORGANIZATION_ID.value_set(admission.organization_id),
                AGENT_ID.value_set(admission.agent_id),
                RUNTIME.value_set(admission.runtime),
            ]
        )

    async def _has_message(self) -> bool:
        if not self._state.pending and self._state.interactive and not self._state.closing:
            self._describe("waiting for a message")
            try:
                await workflow.wait_condition(self._is_addressed, timeout=policies.IDLE_TIMEOUT)
            except TimeoutError:
                self._state.closing = True
            self._move_to_newer_workers()
        return bool(self._state.pending)

    def _is_addressed(self) -> bool:
        return bool(self._state.pending) or self._state.closing

    async def _take_turn(self) -> None:
        message = self._state.pending.pop(0)
        self._state.turn += 1
        self._answered.clear()
        self._describe("running")
        outcome = await self._run_turn(message)
        self._state.last = outcome
        self._state.usage += outcome.usage
        self._interrupting = False

    async def _run_turn(self, message: QueuedMessage) -> TurnOutcome:
        """Hand the turn out until a worker takes it to an end, or nobody wants it any more."""
        dispatch = 0
        while True:
            dispatch += 1
            turn = self._turn_request(message, dispatch)
            outcome = await self._dispatch(turn)
            if outcome.status is TurnStatus.SUSPENDED:
                await self._wait_for(outcome)
            elif outcome.status is not TurnStatus.PREEMPTED:
                return outcome
            self._honour_cancellation()
            if self._interrupting:
                return await self._record_interruption(turn)

    async def _wait_for(self, outcome: TurnOutcome) -> None:
        """Wait until all that the turn waits for is there, or the first decision is overdue."""
        self._waits = set(outcome.waits)
        self._describe("waiting for a decision")
        timeout = None if outcome.wait_seconds is None else timedelta(seconds=outcome.wait_seconds)
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._waits <= self._answered or self._interrupting, timeout=timeout)
        self._waits = set()
        self._describe("running")

    async def _dispatch(self, turn: TurnRequest) -> TurnOutcome:
        self._running = self._start_turn(turn)
        try:
            return await self._running
        except ActivityError as failure:
            if self._interrupting and is_cancelled_exception(failure):
                return TurnOutcome(status=TurnStatus.PREEMPTED)
            raise
        finally:
            self._running = None

    def _turn_request(self, message: QueuedMessage, dispatch: int) -> TurnRequest:
        return TurnRequest(
            execution_id=self._execution_id,
            organization_id=self._admission.organization_id,
            turn=self._state.turn,
            dispatch=dispatch,
            message_id=message.message_id,
            prompt=message.content,
        )

    def _start_turn(self, turn: TurnRequest) -> workflow.ActivityHandle[TurnOutcome]:
        admission = self._admission
        return workflow.start_activity(
            "execute_agent_llm",
            turn,
            result_type=TurnOutcome,
            task_queue=admission.task_queue,
            start_to_close_timeout=timedelta(seconds=admission.turn_timeout_seconds),
            heartbeat_timeout=timedelta(seconds=admission.heartbeat_timeout_seconds),
            retry_policy=policies.TURN_RETRY,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{admission.agent_name}: turn {turn.turn}",
            priority=priority_of(admission),
        )

    async def _record_interruption(self, turn: TurnRequest) -> TurnOutcome:
        return await workflow.execute_activity(
            "interrupt_turn",
            turn,
            result_type=TurnOutcome,
            start_to_close_timeout=policies.BOOKKEEPING_TIMEOUT,
            retry_policy=policies.BOOKKEEPING_RETRY,
            priority=priority_of(self._admission),
        )

    def _honour_cancellation(self) -> None:
        """A cancelled workflow gets its turn's outcome all the same; nothing else tells it."""
        if workflow.cancellation_reason() is not None and not self._has_recorded_its_end():
            raise asyncio.CancelledError

    def _has_recorded_its_end(self) -> bool:
        """A turn that completes a one-turn execution records that itself."""
        last = self._state.last
        return not self._state.interactive and last is not None and last.status is TurnStatus.COMPLETED

    def _continue_as_new_if_long(self) -> None:
        if workflow.info().is_continue_as_new_suggested() and self._state.interactive:
            self._continue_as_new()

    def _move_to_newer_workers(self) -> None:
        """A run stays on the build that it began on: a new run begins on the present one."""
        if workflow.info().is_target_worker_deployment_version_changed() and self._state.interactive:
            self._continue_as_new()

    def _continue_as_new(self) -> None:
        behaviour = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        workflow.continue_as_new(self._state, initial_versioning_behavior=behaviour)

    async def _complete(self) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self._has_recorded_its_end():
            await self._record(ExecutionEnd.COMPLETED)
        await self._tell_parent()
        self._describe("completed")

    async def _fail(self, failure: BaseException) -> None:
        end = end_of(failure)
        error = None if end is ExecutionEnd.CANCELLED else error_of(failure)
        self._describe(end)
        await self._record(end, error)
        await self._tell_parent()
        if error is None:
            raise failure
        raise application_error(error, retried=False) from None

    async def _record(self, end: ExecutionEnd, error: ExecutionError | None = None) -> None:
        if self._state.admission is None:
            return
        await workflow.execute_activity(
            "finish_execution",
            args=[
                self._execution_id,
                FinishExecution(organization_id=self._admission.organization_id, end=end, error=error),
            ],
            start_to_close_timeout=policies.BOOKKEEPING_TIMEOUT,
            retry_policy=policies.BOOKKEEPING_RETRY,
            priority=priority_of(self._admission),
        )

    async def _tell_parent(self) -> None:
        """Whoever started this execution waits for its end; where nobody does any more, that is as well."""
        parent = self._state.admission and self._state.admission.parent_workflow_id
        if parent:
            with suppress(FailureError):
                await workflow.get_external_workflow_handle(parent).signal("answered", [self._execution_id])

    def _describe(self, what: str, remedy: str = "") -> None:
        """Current details in the Temporal Web UI: they cost no history."""
        admission = self._admission if self._state.admission else None
        name, runtime = (admission.agent_name, admission.runtime) if admission else (self._state.agent_id, "?")
        workflow.set_current_details(
            f"**{what}** · agent `{name}` · runtime `{runtime}` · turn {self._state.turn} · "
            f"execution `{self._execution_id}`{remedy and f' · {remedy}'}"
        )

    def _result(self) -> AgentExecutionResult:
        last = self._state.last or TurnOutcome(status=TurnStatus.COMPLETED)
        return AgentExecutionResult(
            success=True,
            execution_id=self._execution_id,
            session_id=self._admission.session_id,
            response=last.response,
            usage=self._state.usage,
            tool_messages=last.tool_messages,
            model=last.model,
            runtime=self._admission.runtime,
            finish_reason=last.finish_reason,
            output=last.output,
            metadata=self._state.metadata,
        )


def _check_content(content: str) -> None:
    if not content:
        _reject("value_invalid", "The message is empty.")
    if "\0" in content:
        _reject("text_nul", "The message has a NUL character.")
    if len(content) > policies.MAX_INLINE_MESSAGE:
        _reject("body_too_large", "The message is too long for Temporal; send it through the REST API.")


def _reject(code: str, message: str) -> None:
    raise ApplicationError(message, type=code, non_retryable=True)
