"""A turn that a limit ends has no answer: it fails, and what was said is kept, wherever somebody looks."""

from typing import Any

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
    assert (result["usage"]["model_calls"], result["finish_reason"]) == (2, "tool_limit")
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.details[1]) == ("limit_reached", {"response": "Once more."})
    events = await assert_ended_well(stack, execution, "failed")
    assert [event["type"] for event in events if event["type"].startswith("tool.")] == [
        "tool.started",
        "tool.completed",
        "tool.completed",
    ]


#: Settings with which the first prompt has no answer, with the code and the reason that this has.
WITHOUT_AN_ANSWER = [
    ({"runtime_config": {"max_turns": 2}}, TALKATIVE, "limit_reached", "tool_limit"),
    ({"output_schema": {"type": "object", "required": ["n"]}}, "[[say Once more.]]", "output_invalid", None),
]


@pytest.mark.parametrize(("settings", "prompt", "code", "reason"), WITHOUT_AN_ANSWER)
async def test_an_interactive_execution_goes_on_after_a_turn_without_an_answer(
    stack: Stack, settings: dict[str, Any], prompt: str, code: str, reason: str | None
) -> None:
    agent = await stack.agent(f"goes-on-{code}", toolsets=[{"type": "file_system"}], configuration=settings)
    execution = await stack.start(prompt, agent["name"], interactive=True)
    messages = f"/api/v1/executions/{execution}/messages"

    said = await stack.http.post(messages, json={"content": '[[say {"n": 1}]]'})
    await stack.until_event(execution, "turn.completed")
    shown = await stack.get(execution)
    failed = next(event for event in await stack.log(execution) if event["type"] == "turn.failed")
    assert (said.status_code, failed["turn"], failed["data"]["error"]["code"]) == (202, 1, code)
    assert (failed["data"]["finish_reason"], shown["response"], shown["error"]) == (reason, '{"n": 1}', None)
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    assert (await stack.result(execution))["success"] is True
    await assert_ended_well(stack, execution)


async def test_an_execution_that_is_closed_after_a_turn_without_an_answer_has_no_success(stack: Stack) -> None:
    settings = {"runtime_config": {"max_turns": 2}}
    agent = await stack.agent("closed-limited", toolsets=[{"type": "file_system"}], configuration=settings)
    execution = await stack.start(TALKATIVE, agent["name"], interactive=True)

    await stack.until_event(execution, "turn.failed")
    waiting = await stack.get(execution)
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    result = await stack.result(execution)

    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    of_workflow = await handle.result()
    assert (waiting["status"], waiting["error"]["code"]) == ("waiting", "limit_reached")
    for each in (result, of_workflow):
        assert (each["success"], each["error"]["code"], each["finish_reason"]) == (False, "limit_reached", "tool_limit")
        assert each["response"] == "Once more."
    await assert_ended_well(stack, execution)
