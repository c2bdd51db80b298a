"""A turn that a limit ends has no answer: it fails, and what was said is kept, wherever somebody looks."""

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from tests.invariants import assert_ended_well
from tests.stack import Stack

TALKATIVE = "[[say Let me look.;; tool list_files {};; say Once more.;; tool list_files {};; say done]]"


@pytest.mark.parametrize("limits", [{"max_turns": 2}, {"tool_call_limit": 1}])
async def test_a_turn_that_a_limit_ends_fails_and_keeps_what_was_said(stack: Stack, limits: dict[str, int]) -> None:
    settings = {"runtime_config": limits}
    agent = await stack.agent(
        f"limited-{next(iter(limits))}", toolsets=[{"type": "file_system"}], configuration=settings
    )
    execution = await stack.start(TALKATIVE, agent["name"])

    result = await stack.result(execution)

    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    cause = failed.value.cause
    assert (result["success"], result["error"]["code"], result["response"]) == (False, "limit_reached", "Once more.")
    assert (await stack.get(execution))["response"] == "Once more."
    assert result["usage"]["model_calls"] == 2
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.details[1]) == ("limit_reached", {"response": "Once more."})
    events = await assert_ended_well(stack, execution, "failed")
    assert [event["type"] for event in events if event["type"].startswith("tool.")] == [
        "tool.started",
        "tool.completed",
        "tool.completed",
    ]
