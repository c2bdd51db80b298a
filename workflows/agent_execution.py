"""The workflow of an execution: its turns, its messages, its end."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from activities.errors import application_error
from runtimes.json_text import value_of
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
from workflows.failures import end_of, error_of, partial_of
from workflows.fairness import priority_of
from workflows.refusals import ids_of, refuse_decision, reject
from workflows.types import (
    AgentExecutionInput,
    AgentExecutionResult,
    ExecutionState,
    QueuedMessage,
    from_client,
    own_id,
    read_arguments,
)
from workflows.updates import MadeDecision, SentMessage, read_turn

ORGANIZATION_ID = SearchAttributeKey.for_keyword("OrganizationId")
AGENT_ID = SearchAttributeKey.for_keyword("AgentId")
RUNTIME = SearchAttributeKey.for_keyword("Runtime")

#: Names of changes, by which executions that began before them go on as they began.
FIRST_PROMPT_FIRST = "first-prompt-first"
STOPPED_IS_STOPPED = "stopped-is-stopped"


@workflow.defn(name="AgentExecutionWorkflow")
class AgentExecutionWorkflow:
    """One execution. All waiting happens here, never in an activity.

    Its input is an `AgentExecutionInput` in JSON; what is not one is refused by admission, not by the decoder.
    """

    @workflow.init
    def __init__(self, given: Any = None, *more: Any) -> None:
        self._given, self._fault = read_arguments([given, *more])
        self._state = AgentExecutionInput.read(self._given, workflow.info())
        self._own_id = own_id(workflow.info())
        self._execution_id = self._state.execution_id or str(self._own_id)
        self._running: workflow.ActivityHandle[TurnOutcome] | None = None
        self._interrupting = False
        self._ending = False
        self._message: QueuedMessage | None = None
        self._waits: set[str] = set()
        self._answered: set[str] = set()
        self._pool_fits = False
        self._described = ("starting", "")
        self._refused = ""

    @workflow.run
    async def run(self, given: Any = None, *more: Any) -> AgentExecutionResult:
        """Admit the execution, take its turns, record its end."""
        try:
            await self._admit()
            await self._find_pool()
            while await self._has_message():
                await self._take_turn()
                self._honour_cancellation()
                await self._continue_as_new_if_long()
                await self._move_to_newer_workers()
            await _undisturbed(self._complete())
        except (asyncio.CancelledError, FailureError) as failure:
            await self._fail(failure)
        return self._state.result(self._execution_id)

    @workflow.update
    def send_message(self, *given: Any) -> int:
        """Queue a user message for the next turn, once; answers with the number of messages that wait."""
        message = QueuedMessage.model_validate(value_of(given[0]))
        if message.message_id is None and (update := workflow.current_update_info()) is not None:
            message = message.model_copy(update={"key": update.id})
        if not self._has(message):
            self._state.pending.append(message)
        return len(self._state.pending)

    @send_message.validator
    def _may_send(self, *given: Any) -> None:
        sent = SentMessage.read(given)
        if not self._state.interactive:
            reject("execution_not_interactive", "The execution takes one message only; start it as interactive.")
        if self._has(QueuedMessage(message_id=sent.message_id, content=sent.content)):
            return
        if self._is_ending():
            reject("execution_closed", "The execution is closing and takes no more messages.")
        if len(self._state.pending) >= policies.MAX_QUEUED_MESSAGES:
            reject("queue_full", f"{policies.MAX_QUEUED_MESSAGES} messages wait already; send it again later.")

    def _is_ending(self) -> bool:
        return self._state.closing or self._ending or workflow.cancellation_reason() is not None

    @workflow.update
    def interrupt(self, *given: Any) -> int:
        """End the running turn, or only if it is still this one, and keep the execution; answers with its number."""
        self._interrupting = True
        if self._running is not None:
            self._running.cancel()
        return self._state.turn

    @interrupt.validator
    def _may_interrupt(self, *given: Any) -> None:
        turn = read_turn(given)
        if self._running is None and not self._waits:
            reject("turn_not_running", "No turn is running.")
        if turn is not None and turn < self._state.turn:
            reject("turn_not_running", f"Turn {turn} has ended.")

    @workflow.update
    async def decide_approval(self, *given: Any) -> str:
        """Decide an approval of this execution; answers with its status."""
        decision = ApprovalDecision.model_validate(value_of(given[0]))
        try:
            status = await self._decide(decision)
        except ActivityError as failure:
            refuse_decision(decision.approval_id, error_of(failure))
        self._answered.add(decision.approval_id)
        return status

    async def _decide(self, decision: ApprovalDecision) -> str:
        return await workflow.execute_activity(
            "decide_approval",
            args=[self._execution_id, self._admission.organization_id, decision],
            result_type=str,
            start_to_close_timeout=policies.BOOKKEEPING_TIMEOUT,
            retry_policy=policies.BOOKKEEPING_RETRY,
            priority=priority_of(self._admission),
        )

    @decide_approval.validator
    def _may_decide(self, *given: Any) -> None:
        decision = MadeDecision.read(given)
        if self._state.admission is None or (self._waits and decision.approval_id not in self._waits):
            refuse_decision(decision.approval_id)

    @workflow.signal
    def answered(self, *given: Any) -> None:
        """Names what a suspended turn need not wait for any more: decided approvals, executions that have ended."""
        waits = ids_of(given)
        if waits is None:
            self._refuse_signal("answered", "one list of ids")
        else:
            self._answered.update(waits)

    @workflow.signal
    def place(self, *given: Any) -> None:
        """A pool that fits is live: an execution that waits for one asks for its place."""
        if given:
            self._refuse_signal("place", "nothing")
        else:
            self._pool_fits = True

    @workflow.signal
    def close(self, *given: Any) -> None:
        """Complete the execution once the queued messages are answered."""
        if given:
            self._refuse_signal("close", "nothing")
        else:
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
            waits_for=self._described[0].removeprefix("waiting for ") if "waiting" in self._described[0] else "",
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
        if self._state.turn == 0 and self._admission.message_id:
            self._queue_first(QueuedMessage(message_id=self._admission.message_id))
        self._state.prompt = None

    def _queue_first(self, prompt: QueuedMessage) -> None:
        """The prompt goes before the messages that came while the workflow was on its way."""
        pending = self._state.pending
        if not pending or (prompt not in pending and workflow.patched(FIRST_PROMPT_FIRST)):
            pending.insert(0, prompt)

    async def _find_pool(self) -> None:
        """Wait until a live pool fits, or nothing is left to do."""
        while not self._admission.task_queue:
            self._describe_wait(self._admission.deploy)
            await workflow.wait_condition(lambda: self._pool_fits or self._is_idle_and_closing())
            if not self._pool_fits:
                return
            self._pool_fits = False
            place = await self._ask_for_place()
            self._state.admission = self._admission.model_copy(update=place.model_dump())
            self._upsert_search_attributes()

    def _describe_wait(self, deploy: str) -> None:
        if deploy:
            self._describe("waiting for a pool", f"needed: `{deploy}`")
        else:
            self._describe("waiting for the session's earlier executions")

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
            fault=self._fault,
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
            await self._move_to_newer_workers()
        return bool(self._state.pending)

    def _is_addressed(self) -> bool:
        return bool(self._state.pending) or self._state.closing

    async def _take_turn(self) -> None:
        message = self._message = self._state.pending.pop(0)
        self._state.turn += 1
        self._answered.clear()
        self._describe("running")
        outcome = await self._run_turn(message)
        self._message = None
        if outcome.is_other:
            self._state.pending.insert(0, message)
        self._state.take(outcome)
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
            if self._interrupting and (is_cancelled_exception(failure) or workflow.patched(STOPPED_IS_STOPPED)):
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
            message_key=message.key,
            run_id=workflow.info().run_id,
            goes_on=self._state.interactive,
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

    async def _continue_as_new_if_long(self) -> None:
        if workflow.info().is_continue_as_new_suggested() and self._state.interactive:
            await self._continue_as_new()

    async def _move_to_newer_workers(self) -> None:
        """A run stays on the build that it began on: a new run begins on the present one."""
        if workflow.info().is_target_worker_deployment_version_changed() and self._state.interactive:
            await self._continue_as_new()

    async def _continue_as_new(self) -> None:
        """Begin another run, once each sender of an update has its answer."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        behaviour = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
        workflow.continue_as_new(self._state, initial_versioning_behavior=behaviour)

    async def _complete(self) -> None:
        self._ending = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self._has_recorded_its_end():
            await self._record(ExecutionEnd.COMPLETED)
        await self._tell_parent()
        self._describe("completed")

    async def _fail(self, failure: BaseException) -> None:
        self._ending = True
        if end_of(failure) is not ExecutionEnd.CANCELLED and self._was_cancelled():
            failure = asyncio.CancelledError()
        end = end_of(failure)
        error = None if end is ExecutionEnd.CANCELLED else error_of(failure)
        self._describe(end)
        await _undisturbed(self._record_end(end, error))
        if error is None:
            raise failure
        raise application_error(error, retried=False, partial=partial_of(failure)) from None

    def _was_cancelled(self) -> bool:
        """A dead worker's turn ends with a timeout after a cancellation: Temporal does not try it again."""
        return workflow.cancellation_reason() is not None and workflow.patched(STOPPED_IS_STOPPED)

    async def _record_end(self, end: ExecutionEnd, error: ExecutionError | None) -> None:
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._record(end, error)
        await self._tell_parent()

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

    def _has(self, message: QueuedMessage) -> bool:
        return message == self._message or message in self._state.pending

    def _refuse_signal(self, name: str, takes: str) -> None:
        """Nobody hears an answer to a signal; the details show what became of it."""
        self._refused = f"ignored the signal `{name}`: it takes {takes}"
        workflow.logger.warning(self._refused)
        self._describe(*self._described)

    def _describe(self, what: str, remedy: str = "") -> None:
        """Current details in the Temporal Web UI: they cost no history."""
        admission = self._admission if self._state.admission else None
        name, runtime = (admission.agent_name, admission.runtime) if admission else (self._state.agent_id, "?")
        self._described = (what, remedy)
        parts = [f"**{what}**", f"agent `{name}`", f"runtime `{runtime}`", f"turn {self._state.turn}"]
        parts += [part for part in (f"execution `{self._execution_id}`", remedy, self._refused) if part]
        workflow.set_current_details(" · ".join(parts))


async def _undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Finish a record that was begun: a cancellation that comes meanwhile is too late."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not workflow.patched(STOPPED_IS_STOPPED):
            task.cancel()
        await task
