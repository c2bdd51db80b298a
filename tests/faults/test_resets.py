"""`temporal workflow reset`: the database says how far an execution is, whatever its workflow is set back to."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo

from control_plane.local.temporal import temporal_binary
from tests.conftest import NewStack
from tests.faults.test_products import act, prompts, say, streaming, workflow_of
from tests.invariants import assert_ended_well
from tests.stack import Stack


@pytest.fixture(scope="module")
async def victim(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack() as stack:
        yield stack


async def reset(stack: Stack, execution: str, *options: str) -> None:
    """Set the workflow back as an operator does, and wait until its old run is gone."""
    await temporal(stack, execution, "workflow", "reset", "--reason", "test", *options)


async def temporal(stack: Stack, execution: str, *arguments: str) -> None:
    """Do something to the workflow with Temporal's command."""
    workflow_id = (await stack.get(execution))["workflow_id"]
    command = [str(temporal_binary()), *arguments, "--address", stack.temporal_address, "--workflow-id", workflow_id]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


async def turns(stack: Stack, execution: str, number: int) -> bool:
    return (await stack.types(execution)).count("turn.completed") == number


async def conversation(stack: Stack, *words: str) -> str:
    """An interactive execution that has answered so many messages, and waits."""
    execution = await stack.start(f"[[say {words[0]}]]", interactive=True)
    for number, word in enumerate(words[1:], 1):
        await stack.until(partial(turns, stack, execution, number))
        await say(stack, execution, f"[[say {word}]]")
    await stack.until(partial(turns, stack, execution, len(words)))
    return execution


FIRST, LAST = ("--type", "FirstWorkflowTask"), ("--type", "LastWorkflowTask")


@pytest.mark.parametrize("point", [FIRST, LAST])
async def test_a_running_turn_goes_on_in_the_new_run(victim: Stack, point: tuple[str, ...]) -> None:
    marker = uuid4().hex
    prompt = f"[[say early;; emit 60 @20;; say end]] {marker}"
    execution = await victim.start(prompt)
    await victim.until_event(execution, "message.delta")

    await reset(victim, execution, *point)

    assert (await victim.result(execution))["response"].endswith("end")
    await assert_ended_well(victim, execution)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_turn_that_was_handed_out_before_the_point_of_the_reset_goes_on(victim: Stack, *, killed: bool) -> None:
    execution = await streaming(victim, interactive=True)
    if killed:
        victim.processes["default"].kill()
        victim.processes["default"].start()
        await victim.until(partial(attempts, victim, execution, 2))
    sent = await say(victim, execution, "[[say second]]")
    await asyncio.sleep(1)

    await reset(victim, execution, *LAST)
    await act(victim, execution, "close")

    assert sent.status_code == 202
    assert (await victim.result(execution, 90))["response"] == "second"
    assert prompts(await assert_ended_well(victim, execution))[1:] == ["[[say second]]"]


async def attempts(stack: Stack, execution: str, number: int) -> bool:
    return (await stack.types(execution)).count("attempt.started") == number


async def pending(stack: Stack, execution: str) -> PendingActivityInfo:
    """The execution's one activity that has not ended."""
    described = await (await workflow_of(stack, execution)).describe()
    (activity,) = described.raw_description.pending_activities
    return activity


@pytest.mark.parametrize("what", ["pause", "reset"])
async def test_an_activity_that_an_operator_pauses_or_resets_loses_nothing(victim: Stack, what: str) -> None:
    execution = await streaming(victim)
    activity = await pending(victim, execution)

    await temporal(victim, execution, "activity", what, "--activity-id", activity.activity_id)
    if what == "pause":
        await victim.until_event(execution, "attempt.preempted")
        await temporal(victim, execution, "activity", "unpause", "--activity-id", activity.activity_id)

    assert (await victim.result(execution, 90))["response"].endswith("tok600")
    await assert_ended_well(victim, execution)


@pytest.mark.parametrize("noticed", [False, True], ids=["dead", "scheduled"])
async def test_an_activity_that_is_reset_while_no_attempt_runs_goes_on(victim: Stack, *, noticed: bool) -> None:
    execution = await streaming(victim)
    worker = victim.processes["default"]
    worker.kill()
    worker.start()
    await victim.until(partial(attempts, victim, execution, 2))
    worker.kill()
    if noticed:
        await victim.until(partial(_waits_for_a_worker, victim, execution))

    await temporal(
        victim, execution, "activity", "reset", "--activity-id", (await pending(victim, execution)).activity_id
    )
    worker.start()

    assert (await victim.result(execution, 90))["response"].endswith("tok600")
    assert (await victim.types(execution)).count("attempt.started") == 3
    await assert_ended_well(victim, execution)


async def _waits_for_a_worker(stack: Stack, execution: str) -> bool:
    return (await pending(stack, execution)).state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


async def test_a_suspended_turn_waits_on_in_the_new_run(victim: Stack) -> None:
    agent = f"careful-{uuid4()}"
    await victim.agent(agent, toolsets=[{"type": "file_system", "approval": "always"}])
    execution = await victim.start("""[[tool write_file {"path": "x", "content": "y"};; say done]]""", agent)
    await victim.until_event(execution, "execution.waiting")
    asked = (await victim.http.get(f"/api/v1/executions/{execution}/approvals")).json()["items"]

    await reset(victim, execution, *FIRST)
    await victim.until(partial(_is_suspended_again, victim, execution))
    still = (await victim.http.get(f"/api/v1/executions/{execution}/approvals")).json()["items"]
    decided = await victim.http.post(f"/api/v1/approvals/{asked[0]['id']}/approve", json={})

    assert ([each["id"] for each in still], decided.status_code) == ([asked[0]["id"]], 200)
    assert (await victim.result(execution))["response"] == "done"
    await assert_ended_well(victim, execution)


async def _is_suspended_again(stack: Stack, execution: str) -> bool:
    return (await stack.types(execution)).count("execution.waiting") == 2


@pytest.mark.parametrize("reapplied", [True, False], ids=["reapplied", "excluded"])
@pytest.mark.parametrize("point", [FIRST, LAST])
async def test_a_conversation_goes_on_after_what_it_has(
    victim: Stack, point: tuple[str, ...], *, reapplied: bool
) -> None:
    execution = await conversation(victim, "one", "two", "three")
    excluded = () if reapplied else ("--reapply-exclude", "Update", "--reapply-exclude", "Signal")

    await reset(victim, execution, *point, *excluded)
    sent = await say(victim, execution, "[[say four]]")
    await victim.until(partial(turns, victim, execution, 4))
    await act(victim, execution, "close")

    result = await victim.result(execution)
    assert (sent.status_code, result["response"], result["usage"]["model_calls"]) == (202, "four", 4)
    events = await assert_ended_well(victim, execution)
    assert prompts(events) == [f"[[say {word}]]" for word in ("one", "two", "three", "four")]
    assert [event["turn"] for event in events if event["type"] == "turn.completed"] == [1, 2, 3, 4]


async def test_a_message_that_ran_while_its_workflow_was_reset_is_finished_first(victim: Stack) -> None:
    execution = await conversation(victim, "one")
    await say(victim, execution, "[[emit 100 @20;; say two]]")
    await victim.until_status(execution, "running")

    await reset(victim, execution, *FIRST, "--reapply-exclude", "Update")
    sent = await say(victim, execution, "[[say three]]")
    await victim.until(partial(turns, victim, execution, 3))
    await act(victim, execution, "close")

    assert sent.status_code == 202
    await victim.result(execution)
    events = await assert_ended_well(victim, execution)
    assert prompts(events) == ["[[say one]]", "[[emit 100 @20;; say two]]", "[[say three]]"]


async def test_messages_of_temporals_clients_are_told_apart_after_a_reset(victim: Stack) -> None:
    execution = await victim.start(None, interactive=True)
    await victim.until_status(execution, "waiting")
    handle = await workflow_of(victim, execution)

    async def send(word: str) -> Any:
        return await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
            "send_message", {"content": f"[[say {word}]]"}
        )

    await send("one")
    await victim.until(partial(turns, victim, execution, 1))
    await reset(victim, execution, *FIRST, "--reapply-exclude", "Update")
    await send("one")
    await victim.until(partial(turns, victim, execution, 2))
    await act(victim, execution, "close")

    await victim.result(execution)
    assert prompts(await assert_ended_well(victim, execution)) == ["[[say one]]", "[[say one]]"]


async def test_a_start_by_temporal_stays_one_execution_when_it_is_reset_to_its_beginning(victim: Stack) -> None:
    workflow_id = f"reset-{uuid4()}"
    handle = await victim.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "demo", "prompt": "[[say one]]", "interactive": True},
        id=workflow_id,
        task_queue="holdfast",
    )
    execution = (await _state_of(victim, handle))["execution_id"]
    await victim.until(partial(turns, victim, execution, 1))

    await reset(victim, execution, *FIRST)
    await say(victim, execution, "[[say two]]")
    await victim.until(partial(turns, victim, execution, 2))
    await act(victim, execution, "close")

    await victim.result(execution)
    await assert_ended_well(victim, execution)
    listed = (await victim.http.get("/api/v1/executions", params={"limit": 200})).json()["items"]
    assert [each["id"] for each in listed if each["workflow_id"] == workflow_id] == [execution]


async def _state_of(stack: Stack, handle: Any) -> dict[str, Any]:
    async def is_waiting() -> bool:
        return (await handle.query("state"))["turn"] == 1

    await stack.until(is_waiting)
    return await handle.query("state")


async def test_a_cancellation_after_a_reset_is_recorded(victim: Stack) -> None:
    execution = await streaming(victim)

    await reset(victim, execution, *LAST)
    await act(victim, execution, "cancel")

    await victim.until_status(execution, "cancelled", 30)
    await assert_ended_well(victim, execution, "cancelled")
