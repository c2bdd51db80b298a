"""What is wanted of a turn while no worker has it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.conftest import NewStack
from tests.invariants import assert_ended_well
from tests.stack import Stack


@pytest.fixture(scope="module")
async def drained(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack() as stack:
        yield stack


async def _handed_back(stack: Stack, *, interactive: bool) -> str:
    """An execution whose turn was handed back, and that nobody has taken again."""
    worker = stack.processes["default"]
    if worker.popen is None or worker.popen.poll() is not None:
        worker.start()
    execution = await stack.start("[[emit 400 @20]]", interactive=interactive)
    await stack.until_event(execution, "message.delta")
    worker.terminate()
    await asyncio.to_thread(worker.wait)
    await stack.until_event(execution, "attempt.preempted")
    return execution


async def test_an_interrupt_leaves_an_interactive_execution_waiting(drained: Stack) -> None:
    execution = await _handed_back(drained, interactive=True)

    answer = await drained.http.post(f"/api/v1/executions/{execution}/interrupt")

    assert answer.status_code == 202
    await drained.until_status(execution, "waiting", 10)
    await drained.http.post(f"/api/v1/executions/{execution}/close")
    await drained.result(execution)
    types = [event["type"] for event in await assert_ended_well(drained, execution)]
    assert types.count("turn.interrupted") == 1
    assert types.index("turn.interrupted") < types.index("execution.waiting")


async def test_an_interrupt_completes_an_execution_of_one_turn(drained: Stack) -> None:
    execution = await _handed_back(drained, interactive=False)

    await drained.http.post(f"/api/v1/executions/{execution}/interrupt")

    assert (await drained.result(execution, 15))["finish_reason"] == "interrupted"
    await assert_ended_well(drained, execution)


async def test_a_cancellation_ends_the_execution(drained: Stack) -> None:
    execution = await _handed_back(drained, interactive=False)

    await drained.http.post(f"/api/v1/executions/{execution}/cancel")

    await drained.until_status(execution, "cancelled", 10)
    await assert_ended_well(drained, execution, "cancelled")
