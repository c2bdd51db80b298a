"""A turn that a worker hands back while somebody wants it to end."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError
from temporalio.worker import Worker

from activities.agent_activities import AgentActivities
from activities.execution_activities import ExecutionActivities
from control_plane.worker.workflows import workflow_runner
from runtimes.turns import (
    Admission,
    AdmitExecution,
    ApprovalDecision,
    AttemptKey,
    ExecutionEnd,
    FinishExecution,
    Place,
    StopReason,
    TurnOutcome,
    TurnRequest,
    TurnStatus,
)
from tests.stack import Stack
from workflows.agent_execution import AgentExecutionWorkflow


@dataclass
class HandingBack:
    """An executor that is drained in the moment in which it is told to stop."""

    running: asyncio.Event = field(default_factory=asyncio.Event)
    dispatches: list[int] = field(default_factory=list[int])

    async def run(self, turn: TurnRequest, key: AttemptKey, why_cancelled: Callable[[], StopReason]) -> TurnOutcome:
        self.dispatches.append(turn.dispatch)
        self.running.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return TurnOutcome(status=TurnStatus.PREEMPTED)
        return TurnOutcome(status=TurnStatus.COMPLETED)


@dataclass
class Ledger:
    """Remembers what was recorded."""

    queue: str
    interrupted: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    ends: list[ExecutionEnd] = field(default_factory=list[ExecutionEnd])

    async def admit(self, request: AdmitExecution) -> Admission:
        return Admission(
            execution_id=str(request.execution_id),
            organization_id=str(uuid4()),
            session_id=str(uuid4()),
            agent_id=str(uuid4()),
            agent_name="demo",
            runtime="default",
            task_queue=self.queue,
            message_id=str(request.execution_id),
        )

    async def place(self, execution_id: str, organization_id: str) -> Place:
        raise AssertionError("Nothing waits for a pool here.")

    async def interrupt(self, turn: TurnRequest) -> TurnOutcome:
        self.interrupted.append((turn.turn, turn.dispatch))
        return TurnOutcome(status=TurnStatus.INTERRUPTED)

    async def decide(self, execution_id: str, organization_id: str, decision: ApprovalDecision) -> str:
        raise AssertionError("Nothing is decided here.")

    async def finish(self, execution_id: str, request: FinishExecution) -> None:
        self.ends.append(request.end)


@dataclass
class Running:
    """An execution in its turn."""

    workflow: WorkflowHandle[Any, Any]
    executor: HandingBack
    ledger: Ledger


@asynccontextmanager
async def running(stack: Stack) -> AsyncGenerator[Running]:
    queue = f"handing-back-{uuid4()}"
    executor, ledger = HandingBack(), Ledger(queue)
    bookkeeping = ExecutionActivities(ledger)
    async with Worker(
        stack.temporal,
        task_queue=queue,
        workflows=[AgentExecutionWorkflow],
        activities=[
            AgentActivities(executor).execute_agent_llm,
            bookkeeping.admit_execution,
            bookkeeping.interrupt_turn,
            bookkeeping.finish_execution,
        ],
        workflow_runner=workflow_runner(),
    ):
        given = {"agent_id": "demo", "prompt": "x"}
        workflow = await stack.temporal.start_workflow("AgentExecutionWorkflow", given, id=queue, task_queue=queue)
        await asyncio.wait_for(executor.running.wait(), 20)
        yield Running(workflow, executor, ledger)


async def test_an_interrupt_that_meets_a_preemption_ends_the_turn(stack: Stack) -> None:
    async with running(stack) as execution:
        await execution.workflow.execute_update("interrupt")  # pyright: ignore[reportUnknownMemberType]
        await asyncio.wait_for(execution.workflow.result(), 20)

    assert execution.executor.dispatches == [1]
    assert execution.ledger.interrupted == [(1, 1)]
    assert execution.ledger.ends == [ExecutionEnd.COMPLETED]


async def test_a_cancellation_that_meets_a_preemption_ends_the_execution(stack: Stack) -> None:
    async with running(stack) as execution:
        await execution.workflow.cancel()
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(execution.workflow.result(), 20)

    assert isinstance(failed.value.cause, CancelledError)
    assert execution.executor.dispatches == [1]
    assert execution.ledger.ends == [ExecutionEnd.CANCELLED]
