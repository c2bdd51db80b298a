"""Executions of one session on the real stack: one after the other, whatever ends them."""

from typing import Any
from uuid import uuid4

from tests.conftest import NewStack
from tests.invariants import assert_ended_well
from tests.stack import Stack


async def session_of(stack: Stack, execution: str) -> str:
    return (await stack.get(execution))["session_id"]


async def details(stack: Stack, execution: str) -> tuple[str, dict[str, Any]]:
    """Read the details that Temporal shows of a workflow, and its state."""
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    return str(await handle.query("__temporal_workflow_metadata")), await handle.query("state")


async def test_executions_of_a_session_run_in_the_order_of_their_starts(stack: Stack) -> None:
    first = await stack.start("[[emit 30 @20;; say one]]")
    session = await session_of(stack, first)
    second = await stack.start("[[say two]]", session_id=session)
    by_temporal = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "demo", "prompt": "[[history]]", "session_id": session, "execution_id": str(uuid4())},
        id=f"third-{uuid4()}",
        task_queue="holdfast",
    )
    shown, state = await details(stack, second)

    third = await by_temporal.result()

    assert "earlier executions**" in shown
    assert (state["waits_for"], state["turn"]) == ("the session's earlier executions", 0)
    assert third["response"].splitlines()[-3:-1] == ["user: [[say two]]", "assistant: two"]
    for each in (first, second, third["execution_id"]):
        events = await assert_ended_well(stack, each)
    assert [event["type"] for event in events][:3] == [
        "execution.accepted",
        "execution.waiting_for_session",
        "execution.placed",
    ]


async def test_a_queued_execution_goes_on_whatever_became_of_the_one_before(new_stack: NewStack) -> None:
    async with new_stack() as stack:
        killed = await stack.start("[[emit 600 @20]]")
        session = await session_of(stack, killed)
        await stack.until_event(killed, "message.delta")
        queued = [await stack.start(f"[[say {number}]]", session_id=session) for number in range(3)]

        await stack.http.post(f"/api/v1/executions/{queued[1]}/cancel")
        await stack.until_status(queued[1], "cancelled")
        for name in ("default", "workflows", "api"):
            stack.processes[name].kill()
            stack.processes[name].start()
        await stack.until(stack.is_ready)
        workflow_id = (await stack.get(killed))["workflow_id"]
        await stack.temporal.get_workflow_handle(workflow_id).terminate()

        assert [(await stack.result(each))["response"] for each in (queued[0], queued[2])] == ["0", "2"]
        for each in (queued[0], queued[2]):
            await assert_ended_well(stack, each)
        await assert_ended_well(stack, queued[1], "cancelled")
