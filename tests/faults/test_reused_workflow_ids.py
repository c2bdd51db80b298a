"""A workflow's id that is used again: what was, and what is, are two executions."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle

from tests.conftest import NewStack
from tests.control_plane.api.organizations import code
from tests.invariants import assert_ended_well
from tests.stack import Stack


@pytest.fixture(scope="module")
async def impatient(new_stack: NewStack) -> AsyncGenerator[Stack]:
    """Reconciles each second."""
    async with new_stack() as stack:
        yield stack


async def _start(stack: Stack, workflow_id: str, **given: Any) -> tuple[str, WorkflowHandle[Any, Any]]:
    execution = str(uuid4())
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "demo", "execution_id": execution, **given},
        id=workflow_id,
        task_queue="holdfast",
    )
    await stack.until(lambda: _is_there(stack, execution))
    return execution, handle


async def _is_there(stack: Stack, execution: str) -> bool:
    return (await stack.http.get(f"/api/v1/executions/{execution}")).status_code == 200


async def test_a_terminated_execution_does_not_get_the_end_of_its_successor(impatient: Stack) -> None:
    workflow_id = f"reused-{uuid4()}"
    first, workflow = await _start(impatient, workflow_id, prompt="[[emit 400 @10]]")
    await impatient.until_event(first, "message.delta")

    await workflow.terminate()
    second, successor = await _start(impatient, workflow_id, prompt="[[say mine]]")

    assert (await successor.result())["response"] == "mine"
    await impatient.until_status(first, "failed")
    assert (await impatient.get(first))["error"]["code"] == "workflow_terminated"
    await assert_ended_well(impatient, second)


async def test_what_is_done_to_an_execution_does_not_hit_its_successor(stack: Stack) -> None:
    workflow_id = f"reused-{uuid4()}"
    first, workflow = await _start(stack, workflow_id, interactive=True)
    await workflow.terminate()
    second, _ = await _start(stack, workflow_id, interactive=True)
    url = f"/api/v1/executions/{first}"

    answers = [
        await stack.http.post(f"{url}/messages", json={"content": "[[say no]]"}),
        await stack.http.post(f"{url}/close"),
        await stack.http.post(f"{url}/cancel"),
    ]

    assert [code(answer) for answer in answers] == [(409, "execution_closed")] * 3
    assert await stack.types(second) == ["execution.accepted", "execution.waiting"]
    await stack.http.post(f"/api/v1/executions/{second}/close")
    await stack.result(second)
    await assert_ended_well(stack, second)
