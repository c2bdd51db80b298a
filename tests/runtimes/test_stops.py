"""How turns end early, in every framework, on both wires."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.errors import AttemptFenced
from runtimes.types import TextDelta, ToolResult
from tests.runtimes.turns import Turns, tool


async def test_a_hanging_call_is_cancelled_at_once(both_ways: Turns) -> None:
    marker = f"hang-{time.time_ns()}"
    task = asyncio.create_task(both_ways.run(f"{marker} [[emit 3;; hang]]"))
    await both_ways.calls(marker)

    began = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    took = time.perf_counter() - began

    assert took < 2
    await both_ways.calls(marker, until="aborted")


async def test_leaving_the_stream_stops_the_call_at_once(turns: Turns) -> None:
    marker = f"leave-{time.time_ns()}"
    events = turns.factory.create_runtime(turns.runtime).stream_execute(turns.context(f"{marker} [[emit 3;; hang]]"))

    assert isinstance(await anext(events), TextDelta)
    began = time.perf_counter()
    await events.aclose()
    took = time.perf_counter() - began

    assert took < 2
    await turns.calls(marker, until="aborted")


async def test_a_cancel_reaches_a_running_tool(both_ways: Turns) -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def slow(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ToolResult("")

    task = asyncio.create_task(both_ways.run('[[tool lookup {"q": 1};; say x]]', tools=[tool(slow)]))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()


@pytest.mark.parametrize("ending", [AttemptFenced("A newer attempt has taken over."), asyncio.CancelledError()])
async def test_what_a_tool_raises_ends_the_turn_and_its_other_tools(turns: Turns, ending: BaseException) -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def call(_: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        assert not isinstance(arguments, str)
        if arguments["q"] == 2:
            await started.wait()
            raise ending
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return ToolResult("")

    async with asyncio.timeout(10):
        with pytest.raises(type(ending)):
            await turns.run('[[tool lookup {"q": 1} && lookup {"q": 2};; say never]]', tools=[tool(call)])

    assert ended.is_set()
