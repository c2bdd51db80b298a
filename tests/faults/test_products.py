"""Two faults at once, each of which is harmless alone: a death, and a wish that comes just then."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from tests.conftest import NewStack
from tests.invariants import assert_ended_well
from tests.stack import Event, Stack

LONG = "[[emit 600 @20]]"


@pytest.fixture(scope="module")
async def victim(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack() as stack:
        yield stack


async def act(stack: Stack, execution: str, what: str) -> int:
    return (await stack.http.post(f"/api/v1/executions/{execution}/{what}")).status_code


async def say(stack: Stack, execution: str, content: str, **headers: str) -> httpx.Response:
    url = f"/api/v1/executions/{execution}/messages"
    return await stack.http.post(url, json={"content": content}, headers=headers)


async def streaming(stack: Stack, **body: Any) -> str:
    execution = await stack.start(LONG, **body)
    await stack.until_event(execution, "message.delta")
    return execution


def answers(events: Sequence[Event]) -> list[str]:
    return [event["data"]["text"] for event in events if event["type"] == "message.completed"]


def prompts(events: Sequence[Event]) -> list[str]:
    return [event["data"]["prompt"] for event in events if event["type"] == "turn.started"]


async def workflow_of(stack: Stack, execution: str) -> WorkflowHandle[Any, Any]:
    return stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])


@pytest.mark.parametrize("by", ["api", "temporal"])
async def test_a_cancelled_execution_whose_worker_is_dead_is_cancelled(victim: Stack, by: str) -> None:
    execution = await streaming(victim)
    worker = victim.processes["default"]

    worker.kill()
    if by == "api":
        assert await act(victim, execution, "cancel") == 202
    else:
        await (await workflow_of(victim, execution)).cancel()

    await victim.until_status(execution, "cancelled", 30)
    worker.start()
    await assert_ended_well(victim, execution, "cancelled")


async def test_an_interrupted_turn_whose_worker_is_dead_leaves_the_queue_going(victim: Stack) -> None:
    execution = await streaming(victim, interactive=True)
    worker = victim.processes["default"]
    queued = [(await say(victim, execution, f"[[say {word}]]")).status_code for word in ("two", "three")]

    worker.kill()
    interrupted = await act(victim, execution, "interrupt")
    worker.start()
    await act(victim, execution, "close")

    assert (queued, interrupted) == ([202, 202], 202)
    assert (await victim.result(execution))["response"] == "three"
    events = await assert_ended_well(victim, execution)
    assert [event["turn"] for event in events if event["type"] == "turn.interrupted"] == [1]
    assert prompts(events)[1:] == ["[[say two]]", "[[say three]]"]


async def test_an_interrupt_ends_one_turn_only_whatever_is_queued(victim: Stack) -> None:
    execution = await streaming(victim, interactive=True)
    for number in range(5):
        await say(victim, execution, f"[[emit 5 @20;; say {number}]]")

    codes = await asyncio.gather(*(act(victim, execution, "interrupt") for _ in range(3)))
    await act(victim, execution, "close")

    assert 202 in codes
    await victim.result(execution)
    events = await assert_ended_well(victim, execution)
    assert [event["turn"] for event in events if event["type"] == "turn.interrupted"] == [1]
    assert len(prompts(events)) == 6


async def test_a_message_before_the_first_workflow_task_does_not_take_the_place_of_the_prompt(victim: Stack) -> None:
    workflows = victim.processes["workflows"]
    workflows.kill()
    execution = await victim.start("[[say first]]", interactive=True)

    sending = asyncio.create_task(say(victim, execution, "[[say second]]"))
    await asyncio.sleep(1)
    workflows.start()

    assert (await sending).status_code == 202
    await act(victim, execution, "close")
    await victim.result(execution)
    assert prompts(await assert_ended_well(victim, execution)) == ["[[say first]]", "[[say second]]"]


async def test_an_update_with_start_does_not_take_the_place_of_the_prompt(victim: Stack) -> None:
    execution = str(uuid4())
    start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        "AgentExecutionWorkflow",
        {"agent_id": "demo", "prompt": "[[say first]]", "interactive": True, "execution_id": execution},
        id=f"with-start-{execution}",
        task_queue="holdfast",
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    await victim.temporal.execute_update_with_start_workflow(  # pyright: ignore[reportUnknownMemberType]
        "send_message", {"content": "[[say second]]"}, start_workflow_operation=start
    )

    await (await start.workflow_handle()).signal("close")

    await (await start.workflow_handle()).result()
    assert prompts(await assert_ended_well(victim, execution)) == ["[[say first]]", "[[say second]]"]


@pytest.mark.parametrize("key", [None, "the-same"])
async def test_a_message_that_is_refused_for_now_does_not_run_until_it_is_sent_again(
    victim: Stack, key: str | None
) -> None:
    execution = await victim.start(None, interactive=True)
    await victim.until_status(execution, "waiting")
    headers = {"Idempotency-Key": key} if key else {}
    workflows = victim.processes["workflows"]
    workflows.kill()

    refused = await say(victim, execution, "[[say once]]", **headers)
    workflows.start()
    await asyncio.sleep(5)
    before = prompts(await victim.log(execution))
    again = await say(victim, execution, "[[say once]]", **headers)
    await act(victim, execution, "close")

    assert (refused.status_code, before, again.status_code) == (503, [], 202)
    assert (await victim.result(execution))["response"] == "once"
    assert prompts(await assert_ended_well(victim, execution)) == ["[[say once]]"]


async def test_a_message_that_is_sent_again_while_it_is_refused_runs_once(victim: Stack) -> None:
    execution = await victim.start(None, interactive=True)
    await victim.until_status(execution, "waiting")
    workflows = victim.processes["workflows"]
    workflows.kill()

    first = asyncio.create_task(say(victim, execution, "[[say once]]", **{"Idempotency-Key": "twice"}))
    await asyncio.sleep(5)
    again = asyncio.create_task(say(victim, execution, "[[say once]]", **{"Idempotency-Key": "twice"}))
    refused = await first
    workflows.start()

    assert (refused.status_code, (await again).status_code) == (503, 202)
    await act(victim, execution, "close")
    assert (await victim.result(execution))["response"] == "once"
    assert prompts(await assert_ended_well(victim, execution)) == ["[[say once]]"]


async def test_a_message_that_never_came_to_its_workflow_is_refused_by_its_end(victim: Stack) -> None:
    execution = await victim.start("[[say first]]", interactive=True)
    await victim.until_status(execution, "waiting")
    workflows, key = victim.processes["workflows"], {"Idempotency-Key": "late"}
    workflows.kill()

    sent = [(await say(victim, execution, "[[say late]]", **key)).status_code for _ in range(2)]
    await act(victim, execution, "close")
    workflows.start()
    await victim.result(execution)
    late = await say(victim, execution, "[[say late]]", **key)

    assert (sent, late.status_code) == ([503, 503], 409)
    assert prompts(await assert_ended_well(victim, execution)) == ["[[say first]]"]


@pytest.mark.parametrize("what", ["cancel", "close"])
async def test_an_execution_that_temporal_has_not_seen_yet_has_not_ended(new_stack: NewStack, what: str) -> None:
    async with new_stack() as stack:
        temporal = stack.processes["temporal"]
        temporal.kill()
        execution = await stack.start(LONG, interactive=True)
        temporal.start()

        codes = [await act(stack, execution, what)]
        while codes[-1] == 503:
            await asyncio.sleep(0.1)
            codes.append(await act(stack, execution, what))

        assert (set(codes) - {503}, codes[-1]) == ({202}, 202)
        await stack.result(execution)
        await assert_ended_well(stack, execution, "cancelled" if what == "cancel" else "completed")


async def test_a_message_whose_key_is_repeated_runs_once_also_in_another_run(new_stack: NewStack) -> None:
    async with new_stack(dynamic_config=("limit.historyCount.suggestContinueAsNew=8",)) as stack:
        execution = await stack.start(None, interactive=True)
        await stack.until_status(execution, "waiting")
        for number in (1, 1, 2, 1, 2):
            answer = await say(stack, execution, f"[[say {number}]]", **{"Idempotency-Key": str(number)})
            assert answer.status_code == 202
            await asyncio.sleep(1)
        await act(stack, execution, "close")

        await stack.result(execution)
        assert prompts(await assert_ended_well(stack, execution)) == ["[[say 1]]", "[[say 2]]"]


async def test_a_message_to_an_execution_that_is_failing_is_refused_or_answered(victim: Stack) -> None:
    execution = await victim.start("[[emit 10 @20;; error 401]]", interactive=True)
    codes: list[int] = []
    async with asyncio.timeout(30):
        while not codes or codes[-1] == 202:
            codes.append((await say(victim, execution, "[[say late]]")).status_code)

    assert codes[-1] == 409
    await victim.until_status(execution, "failed")
    await assert_ended_well(victim, execution, "failed")


@pytest.mark.parametrize("wish", ["cancel", "interrupt"])
async def test_a_wish_while_every_process_is_restarted_is_fulfilled(victim: Stack, wish: str) -> None:
    execution = await streaming(victim, interactive=True)
    for name in ("default", "workflows"):
        victim.processes[name].kill()
    acting = asyncio.create_task(act(victim, execution, wish))
    await asyncio.sleep(0.5)
    for name in ("default", "workflows"):
        victim.processes[name].start()

    assert await acting == 202
    if wish == "interrupt":
        await victim.until_event(execution, "turn.interrupted")
        await act(victim, execution, "close")
    await victim.result(execution)
    await assert_ended_well(victim, execution, "cancelled" if wish == "cancel" else "completed")
