"""The execution workflow on the real stack."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from tests.conftest import NewStack
from tests.invariants import assert_ended_well
from tests.stack import Stack
from workflows.agent_execution import RUNTIME, AgentExecutionWorkflow
from workflows.types import QueuedMessage


async def _interactive(stack: Stack, prompt: str | None = None) -> str:
    return await stack.start(prompt, interactive=True)


async def _say(stack: Stack, execution: str, content: str) -> int:
    answer = await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": content})
    return answer.status_code


async def _act(stack: Stack, execution: str, what: str) -> int:
    return (await stack.http.post(f"/api/v1/executions/{execution}/{what}")).status_code


async def test_a_one_turn_execution_costs_eleven_history_events(stack: Stack) -> None:
    execution = await stack.start("[[say hi]]")
    await stack.result(execution)
    await assert_ended_well(stack, execution)
    workflow_id = (await stack.get(execution))["workflow_id"]

    history = await stack.temporal.get_workflow_handle(workflow_id).fetch_history()

    assert len(history.events) == 11


async def test_messages_are_queued_while_a_turn_runs_and_answered_in_order(stack: Stack) -> None:
    execution = await _interactive(stack, "[[emit 10 @10]]")
    await stack.until_event(execution, "message.delta")

    codes = [await _say(stack, execution, text) for text in ("[[say two]]", "[[history]]")]
    closed = await _act(stack, execution, "close")

    assert (codes, closed) == ([202, 202], 202)
    result = await stack.result(execution)
    assert result["response"].splitlines()[2:] == ["user: [[say two]]", "assistant: two", "user: [[history]]"]
    events = await assert_ended_well(stack, execution)
    assert [event["turn"] for event in events if event["type"] == "turn.completed"] == [1, 2, 3]


async def test_interrupt_ends_the_turn_and_keeps_the_execution(stack: Stack) -> None:
    execution = await _interactive(stack, "[[emit 500 @20]]")
    await stack.until_event(execution, "message.delta")

    interrupted = await _act(stack, execution, "interrupt")

    assert interrupted == 202
    await stack.until_status(execution, "waiting")
    assert await _say(stack, execution, "[[say still here]]") == 202
    await stack.until_event(execution, "turn.completed")
    assert await _act(stack, execution, "close") == 202
    assert (await stack.result(execution))["response"] == "still here"
    assert "turn.interrupted" in [event["type"] for event in await assert_ended_well(stack, execution)]


async def test_interrupting_a_one_turn_execution_completes_it(stack: Stack) -> None:
    execution = await stack.start("[[emit 500 @20]]")
    await stack.until_event(execution, "message.delta")

    await _act(stack, execution, "interrupt")

    assert (await stack.result(execution))["finish_reason"] == "interrupted"
    await assert_ended_well(stack, execution)


@pytest.mark.parametrize("by", ["api", "temporal"])
async def test_cancel_stops_the_model_call(stack: Stack, by: str) -> None:
    marker = uuid4().hex
    execution = await stack.start(f"[[emit 500 @20]] {marker}")
    await stack.until_event(execution, "message.delta")

    if by == "api":
        assert await _act(stack, execution, "cancel") == 202
    else:
        await stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"]).cancel()

    await stack.until_status(execution, "cancelled", 10)
    await assert_ended_well(stack, execution, "cancelled")
    assert [call["outcome"] for call in await stack.model_calls(marker)] == ["aborted"]


async def test_a_waiting_execution_can_be_cancelled(stack: Stack) -> None:
    execution = await _interactive(stack)

    await _act(stack, execution, "cancel")

    await stack.until_status(execution, "cancelled", 10)
    await assert_ended_well(stack, execution, "cancelled")
    assert await _act(stack, execution, "cancel") == 409


async def test_an_execution_takes_what_its_kind_allows(stack: Stack) -> None:
    one_turn = await stack.start("[[emit 20 @20]]")
    waiting = await _interactive(stack)

    answers = [
        await stack.http.post(f"/api/v1/executions/{one_turn}/messages", json={"content": "x"}),
        await stack.http.post(f"/api/v1/executions/{waiting}/interrupt"),
    ]

    assert [answer.json()["code"] for answer in answers] == ["execution_not_interactive", "turn_not_running"]
    await _act(stack, waiting, "close")
    await stack.result(waiting)


async def test_a_temporal_client_starts_an_execution_with_plain_json(stack: Stack) -> None:
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "demo", "prompt": "[[say from afar]]", "metadata": {"origin": "go"}},
        id=f"afar-{uuid4()}",
        task_queue="holdfast",
    )

    result = await handle.result()

    assert (result["success"], result["response"]) == (True, "from afar")
    shown = await stack.get(result["execution_id"])
    assert (shown["source"], shown["status"], shown["metadata"]) == ("temporal", "completed", {"origin": "go"})
    assert (await handle.describe()).typed_search_attributes[RUNTIME] == "default"
    await assert_ended_well(stack, result["execution_id"])


async def test_an_unknown_agent_fails_once_and_readably(stack: Stack) -> None:
    execution = str(uuid4())
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "nobody", "prompt": "x", "execution_id": execution},
        id=f"nobody-{execution}",
        task_queue="holdfast",
    )

    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()

    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.message) == (
        "agent_unknown",
        "There is no agent 'nobody'. See: holdfast agents list",
    )
    history = await handle.fetch_history()
    assert sum(event.HasField("activity_task_started_event_attributes") for event in history.events) == 1
    assert (await stack.get(execution))["error"]["code"] == "agent_unknown"


async def test_an_input_without_its_field_fails_at_once(stack: Stack) -> None:
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", {"prompt": "x"}, id=f"bad-{uuid4()}", task_queue="holdfast"
    )

    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 20)

    assert "agent_id" in str(failed.value.cause)


async def test_messages_and_interrupts_come_straight_from_temporal_too(stack: Stack) -> None:
    execution = await _interactive(stack)
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])

    waiting = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
        AgentExecutionWorkflow.send_message, QueuedMessage(content="[[say inline]]")
    )
    await stack.until_event(execution, "turn.completed")
    await stack.until(lambda: _is_idle(handle))
    state = await handle.query("state")
    await handle.signal("close")

    assert waiting == 1
    assert (state["turn"], state["queued_messages"]) == (1, 0)
    assert (await stack.result(execution))["response"] == "inline"
    await assert_ended_well(stack, execution)


async def _is_idle(handle: WorkflowHandle[Any, Any]) -> bool:
    return not (await handle.query("state"))["running"]


async def test_a_long_conversation_continues_as_new(new_stack: NewStack) -> None:
    async with new_stack(dynamic_config=("limit.historyCount.suggestContinueAsNew=20",)) as stack:
        execution = await _interactive(stack)
        for number in range(5):
            assert await _say(stack, execution, f"[[say answer {number}]]") == 202
        await _act(stack, execution, "close")

        assert (await stack.result(execution))["response"] == "answer 4"
        await assert_ended_well(stack, execution)
        workflow_id = (await stack.get(execution))["workflow_id"]
        runs = [run async for run in stack.temporal.list_workflows(f"WorkflowId='{workflow_id}'")]
        assert len(runs) > 1
        assert (await stack.get(execution))["usage"]["model_calls"] == 5
