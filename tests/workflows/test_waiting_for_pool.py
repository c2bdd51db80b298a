"""Executions without a pool on the real stack: visible, patient, and nothing is lost meanwhile."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from tests.conftest import NewStack
from tests.invariants import assert_ended_well
from tests.stack import Stack


@pytest.fixture(scope="module")
async def poor(new_stack: NewStack) -> AsyncGenerator[Stack]:
    """A stack whose only pool does not serve the scripted runtime."""
    async with new_stack() as stack:
        yield stack


async def details(stack: Stack, execution: str) -> str:
    """What Temporal's Web UI says of the execution now."""
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return metadata.current_details


async def started_by_temporal(stack: Stack, name: str, **given: Any) -> str:
    """An execution that a Temporal client started; gives its id when it waits."""
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", {"agent_id": "plain", "prompt": "[[say hi]]"} | given, id=name, task_queue="holdfast"
    )

    async def listed() -> bool:
        return await _of_workflow(stack, handle.id) is not None

    await stack.until(listed, 60)
    execution = await _of_workflow(stack, handle.id)
    assert execution is not None
    return execution


async def _of_workflow(stack: Stack, workflow_id: str) -> str | None:
    found = (await stack.http.get("/api/v1/executions", params={"limit": 200})).json()["items"]
    return next((each["id"] for each in found if each["workflow_id"] == workflow_id), None)


async def test_what_waits_for_a_pool_goes_on_when_one_comes_under_any_name(poor: Stack) -> None:
    cancelled = await poor.start("[[say never]]", "plain")
    talking = await poor.start("[[say one]]", "plain", interactive=True)
    foreign = await started_by_temporal(poor, "waits-for-pool")
    everything = [await poor.start("[[say hi]]", "plain"), talking, foreign]
    for execution in (cancelled, *everything):
        assert (await poor.get(execution))["status"] == "waiting_for_pool"
        assert "needed: `holdfast worker --pool scripted`" in await details(poor, execution)
    await poor.http.post(f"/api/v1/executions/{cancelled}/cancel")
    await poor.until_status(cancelled, "cancelled")
    await poor.http.post(f"/api/v1/executions/{talking}/messages", json={"content": "[[say two]]"})
    await poor.http.post(f"/api/v1/executions/{talking}/close")

    for name in ("api", "workflows"):
        poor.processes[name].kill()
        poor.processes[name].start()
    await poor.until(poor.is_ready)
    poor.add_worker("strangers", None, "--runtimes", "scripted").start()

    results = [await poor.result(execution) for execution in everything]
    assert [result["response"] for result in results] == ["hi", "two", "hi"]
    for execution in everything:
        types = [event["type"] for event in await assert_ended_well(poor, execution)]
        assert types[:3] == ["execution.accepted", "execution.waiting_for_pool", "execution.placed"]
        assert (await poor.get(execution))["task_queue"] == "holdfast.strangers"
    ended = [event["type"] for event in await assert_ended_well(poor, cancelled, "cancelled")]
    assert ended == ["execution.accepted", "execution.waiting_for_pool", "execution.cancelled"]


async def test_a_temporal_client_that_does_not_want_to_wait_is_refused(poor: Stack) -> None:
    await poor.agent("graphic", runtime="langgraph")
    execution = await started_by_temporal(poor, "does-not-wait", agent_id="graphic", if_no_pool="fail")

    await poor.until_status(execution, "failed")

    assert (await poor.get(execution))["error"]["code"] == "pool_missing"
    assert (await poor.get(execution))["error"]["hint"] == "holdfast worker --pool langgraph"
