"""Kill any process in the middle of an execution: it ends once, and rightly."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from uuid import uuid4

import pytest

from tests.conftest import NewStack
from tests.invariants import assert_ended_well, text_of
from tests.stack import Stack

LONG = "[[emit 60 @20;; say end]]"
WHOLE = " ".join(f"tok{number}" for number in range(1, 61)) + " end"


@pytest.fixture(scope="module")
async def victim(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack() as stack:
        yield stack


async def _streaming(stack: Stack, prompt: str = LONG) -> str:
    execution = await stack.start(prompt)
    await stack.until_event(execution, "message.delta")
    return execution


async def test_a_killed_runtime_worker_costs_an_attempt_and_nothing_else(victim: Stack) -> None:
    execution = await _streaming(victim)
    worker = victim.processes["default"]

    worker.kill()
    worker.start()

    assert (await victim.result(execution))["response"] == WHOLE
    events = await assert_ended_well(victim, execution)
    assert [event["attempt"] for event in events if event["type"] == "attempt.started"] == [1, 2]
    assert text_of(events) == WHOLE


async def test_a_killed_workflow_worker_is_not_noticed(victim: Stack) -> None:
    execution = await _streaming(victim)
    worker = victim.processes["workflows"]

    worker.kill()
    worker.start()

    assert (await victim.result(execution))["response"] == WHOLE
    events = await assert_ended_well(victim, execution)
    assert [event["type"] for event in events].count("attempt.started") == 1


async def test_a_killed_api_loses_no_event(victim: Stack) -> None:
    execution = await _streaming(victim)
    api = victim.processes["api"]

    api.kill()
    await asyncio.sleep(1)
    api.start()

    assert (await victim.result(execution))["response"] == WHOLE
    events = await assert_ended_well(victim, execution)
    assert [event["type"] for event in events].count("attempt.started") == 1


async def test_a_killed_temporal_server_goes_on_where_it_was(victim: Stack) -> None:
    execution = await _streaming(victim)
    server = victim.processes["temporal"]

    server.kill()
    await asyncio.sleep(1)
    server.start()

    assert (await victim.result(execution))["response"] == WHOLE
    await assert_ended_well(victim, execution)


async def test_an_execution_accepted_while_temporal_is_away_is_started_later(victim: Stack) -> None:
    server = victim.processes["temporal"]
    server.kill()

    response = await victim.http.post("/api/v1/executions", json={"agent_id": "demo", "prompt": "[[say late]]"})
    server.start()

    assert response.status_code == 201
    assert "Temporal does not answer" in response.json()["warnings"][0]["message"]
    execution = response.json()["id"]
    assert (await victim.result(execution))["response"] == "late"
    await assert_ended_well(victim, execution)


async def test_a_terminated_workflow_is_recorded_as_failed(victim: Stack) -> None:
    execution = await _streaming(victim, "[[emit 400 @10]]")
    workflow_id = (await victim.get(execution))["workflow_id"]

    await victim.temporal.get_workflow_handle(workflow_id).terminate("by hand")

    await victim.until_status(execution, "failed")
    assert (await victim.get(execution))["error"]["code"] == "workflow_terminated"


async def test_sigterm_hands_the_turn_to_another_worker_and_costs_no_retry(victim: Stack) -> None:
    execution = await _streaming(victim)
    other = victim.add_worker("default", "second")
    other.start()
    draining = victim.processes["default"]

    draining.terminate()
    exit_code = await asyncio.to_thread(draining.wait)
    draining.start()

    assert exit_code == 0
    assert (await victim.result(execution))["response"] == WHOLE
    types = [event["type"] for event in await assert_ended_well(victim, execution)]
    assert types.count("attempt.preempted") == 1
    assert "attempt.lost" not in types
    other.kill()


@pytest.mark.parametrize("away", ["killed", "frozen"])
async def test_a_worker_that_is_drained_while_the_api_is_away_loses_no_answer(victim: Stack, away: str) -> None:
    marker = uuid4().hex
    execution = await victim.start(f"[[wait 0.6;; say A whole answer.]] {marker}")
    await victim.until(partial(_is_asked, victim, marker))
    api, draining = victim.processes["api"], victim.processes["default"]

    api.kill() if away == "killed" else api.pause()
    draining.terminate()
    await asyncio.sleep(8)
    api.start() if away == "killed" else api.resume()
    await asyncio.to_thread(draining.wait, 60)
    draining.start()

    assert (await victim.result(execution))["response"] == "A whole answer."
    await assert_ended_well(victim, execution)
    assert [call["outcome"] for call in await victim.model_calls(marker)] == ["completed"]


async def _is_asked(stack: Stack, marker: str) -> bool:
    return bool(await stack.model_calls(marker))


async def test_a_frozen_worker_that_wakes_up_writes_nothing(victim: Stack) -> None:
    execution = await _streaming(victim)
    frozen = victim.processes["default"]
    other = victim.add_worker("default", "heir")

    frozen.pause()
    other.start()
    await victim.result(execution, timeout=90)
    before = await victim.log(execution)
    frozen.resume()
    await asyncio.sleep(3)

    assert await victim.log(execution) == before
    await assert_ended_well(victim, execution)
    other.kill()


async def test_a_turn_that_takes_too_long_is_not_tried_again(new_stack: NewStack) -> None:
    async with new_stack(settings={"HOLDFAST_TURN_TIMEOUT_SECONDS": "2"}) as stack:
        execution = await stack.start("[[hang]]")

        result = await stack.result(execution)

        assert result["error"]["code"] == "turn_timed_out"
        events = await assert_ended_well(stack, execution, "timed_out")
        assert [event["type"] for event in events].count("attempt.started") == 1
