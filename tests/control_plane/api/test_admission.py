"""Executions that a Temporal client starts: admitted once, refused readably, kept like any other."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from control_plane.api.internal.schemas import WorkflowInput
from runtimes.turns import START_FIELDS
from runtimes.types import ExecutionError
from tests.control_plane.api.organizations import UNKNOWN, Organization
from tests.invariants import assert_ended_well
from tests.stack import Stack

EXAMPLE = """The input is like {"agent_id": "demo", "prompt": "hello"}."""
HELLO = {"agent_id": "plain", "prompt": "[[say hello]]"}


def test_every_field_of_a_start_passes_the_workflow() -> None:
    assert set(WorkflowInput.model_fields) == START_FIELDS


@dataclass
class Refusal:
    """How a start failed in Temporal, and the execution that it left."""

    workflow_id: str
    failure: ApplicationError
    kept: dict[str, Any]

    @property
    def told(self) -> tuple[str | None, str]:
        """What the Web UI shows."""
        return self.failure.type, self.failure.message


async def start(stack: Stack, given: Any, workflow_id: str | None = None) -> WorkflowHandle[Any, Any]:
    """Start the workflow as any Temporal client does."""
    return await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", given, id=workflow_id or f"afar-{uuid4()}", task_queue="holdfast"
    )


async def refused(stack: Stack, given: Any) -> Refusal:
    """Start what is refused, at its first attempt."""
    handle = await start(stack, given)
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    history = await handle.fetch_history()
    assert sum(event.HasField("activity_task_started_event_attributes") for event in history.events) == 1
    (kept,) = await executions_of(stack, handle.id)
    return Refusal(handle.id, failed.value.cause, kept)


async def executions_of(stack: Stack, workflow_id: str) -> list[dict[str, Any]]:
    """What the API lists of a workflow."""
    listed = (await stack.http.get("/api/v1/executions", params={"limit": 200})).json()["items"]
    return [execution for execution in listed if execution["workflow_id"] == workflow_id]


async def test_another_executions_id_is_refused_and_that_execution_goes_on(stack: Stack) -> None:
    victim = await stack.start("[[emit 60 @20;; say end]]")
    await stack.until_event(victim, "message.delta")

    refusal = await refused(stack, {"agent_id": "demo", "prompt": "steal", "execution_id": victim})

    assert refusal.told == (
        "conflict",
        f"Another workflow has the execution '{victim}'. Leave execution_id out, or give one that was never used.",
    )
    assert refusal.kept["id"] != victim
    assert (await stack.result(victim))["response"].endswith("tok60 end")
    await assert_ended_well(stack, victim)


async def test_a_copied_input_of_ours_touches_not_what_it_was_copied_from(stack: Stack) -> None:
    victim = await stack.start("[[emit 60 @20;; say end]]")
    await stack.until_event(victim, "message.delta")
    original = stack.temporal.get_workflow_handle((await stack.get(victim))["workflow_id"])
    started = (await original.fetch_history()).events[0].workflow_execution_started_event_attributes
    (copied,) = await stack.temporal.data_converter.decode(started.input.payloads)

    refusal = await refused(stack, copied)

    assert (copied["admission"]["execution_id"], refusal.failure.type) == (victim, "field_missing")
    assert (await stack.result(victim))["response"].endswith("tok60 end")
    await assert_ended_well(stack, victim)


async def test_an_id_of_its_own_is_taken(stack: Stack) -> None:
    execution = str(uuid4())

    result = await (await start(stack, HELLO | {"execution_id": execution})).result()

    assert (result["execution_id"], result["response"]) == (execution, "hello")
    await assert_ended_well(stack, execution)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"promt": "x"}, ("field_unknown", "There is no field 'promt' here. Did you mean 'prompt'?")),
        ({"agent_id": None}, ("field_missing", f"'agent_id' is missing. {EXAMPLE}")),
        (
            {"prompt": ""},
            ("field_missing", "'prompt' is missing. Give a prompt, or start it as interactive."),
        ),
        ({"interactive": "yes"}, ("type_error", f"'interactive': Input should be a valid boolean. {EXAMPLE}")),
        ({"prompt": {"text": "x"}}, ("type_error", f"'prompt': Input should be a valid string. {EXAMPLE}")),
        (
            {"prompt": "a\0b"},
            (
                "text_nul",
                "The text contains the character U+0000. Remove the character U+0000: the database cannot store it.",
            ),
        ),
        (
            {"agent_id": "plian"},
            ("agent_unknown", "There is no agent 'plian'. Did you mean 'plain'? See: holdfast agents list"),
        ),
        ({"agent_id": "zzz"}, ("agent_unknown", "There is no agent 'zzz'. See: holdfast agents list")),
        ({"organization_id": UNKNOWN}, ("not_found", f"There is no organization '{UNKNOWN}'.")),
    ],
)
async def test_what_is_refused_fails_once_in_words_and_is_kept(
    stack: Stack, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    refusal = await refused(stack, HELLO | change)

    assert refusal.told == expected
    error = ExecutionError.model_validate(refusal.kept["error"])
    assert (refusal.kept["status"], refusal.kept["source"], error.code) == ("failed", "temporal", expected[0])
    assert f"{error.message} {error.hint}".startswith(expected[1].split(".")[0])
    assert await stack.types(refusal.kept["id"]) == ["execution.failed"]


@pytest.mark.parametrize("name", ["session_id", "execution_id", "organization_id"])
async def test_an_id_that_is_none_is_refused_and_kept_by_the_workflows_own(stack: Stack, name: str) -> None:
    refusal = await refused(stack, HELLO | {name: "42"})

    code, message = refusal.told
    assert code == "type_error"
    assert message.startswith(f"'{name}': Input should be a valid UUID")
    assert "pydantic" not in message
    assert refusal.kept["agent_name"] == "plain"


@pytest.mark.parametrize("given", ["hello", ["demo"], 7, None])
async def test_an_input_that_is_no_object_is_refused(stack: Stack, given: Any) -> None:
    refusal = await refused(stack, given)

    assert refusal.told[0] == "type_error"
    assert refusal.told[1].endswith(EXAMPLE)


async def test_the_workflows_own_fields_are_not_for_clients(stack: Stack) -> None:
    handle = await start(stack, HELLO | {"turn": 7, "closing": True, "pending": [{"content": "[[say no]]"}]})

    result = await handle.result()

    assert result["response"] == "hello"
    events = await assert_ended_well(stack, result["execution_id"])
    assert [event["turn"] for event in events if event["type"] == "turn.completed"] == [1]


async def test_empty_values_are_none(stack: Stack) -> None:
    empty = {"session_id": "", "execution_id": "", "runtime": "", "organization_id": "", "metadata": None}

    result = await (await start(stack, HELLO | empty)).result()

    assert (result["response"], result["metadata"]) == ("hello", {})


async def test_an_admission_for_another_organization_is_kept_there(stack: Stack, theirs: Organization) -> None:
    handle = await start(stack, {"agent_id": "nobody", "prompt": "x", "organization_id": str(theirs.id)})
    with pytest.raises(WorkflowFailureError):
        await handle.result()

    listed = await stack.http.get("/api/v1/executions", headers=theirs.auth())

    assert handle.id in [execution["workflow_id"] for execution in listed.json()["items"]]
    assert await executions_of(stack, handle.id) == []


@pytest.mark.parametrize("by", ["api", "temporal"])
async def test_an_execution_without_a_message_waits_for_one(stack: Stack, by: str) -> None:
    if by == "api":
        execution = await stack.start(None, "plain", interactive=True)
    else:
        handle = await start(stack, {"agent_id": "plain", "interactive": True})
        await stack.until(lambda: _is_admitted(stack, handle.id))
        execution = (await executions_of(stack, handle.id))[0]["id"]

    assert (await stack.get(execution))["status"] == "waiting"
    assert await stack.types(execution) == ["execution.accepted", "execution.waiting"]
    sent = await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "[[say late]]"})
    await stack.until_event(execution, "turn.completed")
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    assert (sent.status_code, (await stack.result(execution))["response"]) == (202, "late")
    await assert_ended_well(stack, execution)


async def _is_admitted(stack: Stack, workflow_id: str) -> bool:
    return bool(await executions_of(stack, workflow_id))


async def test_an_unknown_agent_is_compared_with_those_of_its_organization_only(
    stack: Stack, theirs: Organization
) -> None:
    body = {"agent_id": "plian", "prompt": "x"}

    ours = await stack.http.post("/api/v1/executions", json=body)
    foreign = await stack.http.post("/api/v1/executions", json=body, headers=theirs.auth())

    assert ours.json()["hint"] == "Did you mean 'plain'? See: holdfast agents list"
    assert foreign.json()["hint"] == "See: holdfast agents list"


async def test_a_failure_in_temporal_tells_no_stack_of_ours(stack: Stack) -> None:
    refusal = await refused(stack, HELLO | {"agent_id": "zzz"})

    history = await stack.temporal.get_workflow_handle(refusal.workflow_id).fetch_history()

    failure = history.events[-1].workflow_execution_failed_event_attributes.failure
    assert not failure.HasField("cause")
    assert failure.stack_trace == ""
    (details,) = refusal.failure.details
    assert details["code"] == "agent_unknown"
