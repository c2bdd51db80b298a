"""The same turn, run again, asks the same of the model: that is what lets the journal answer it."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from runtimes.types import Message, RuntimeExecutionContext, TextDelta, ToolResult, TurnFinished
from tests.runtimes.recording import recording
from tests.runtimes.turns import Turns, tool

SCRIPT = '[[say Hm.;; tool lookup {"q": 1} && lookup {"q": 2};; tool lokup {"q": 3};; tool lookup {"q": "4"};; result]]'
HISTORY = (Message(role="user", content="before"), Message(role="assistant", content="yes?"))


async def test_a_turn_run_again_makes_no_model_call(both_ways: Turns) -> None:
    pauses = iter([0.05, 0, 0, 0, 0.05, 0])

    async def call(_: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        await asyncio.sleep(next(pauses))
        return ToolResult(f"got {arguments}", is_error="4" in str(arguments))

    async with recording(both_ways.endpoint) as (record, endpoint):
        context = both_ways.context(
            SCRIPT, model=endpoint, tools=[tool(call)], system_prompt="Be brief.", history=HISTORY
        )
        first = await text_of(both_ways, context)
        second = await text_of(both_ways, context)

    assert second == first
    assert record.made == 4
    assert record.asked[4:] == record.asked[:4]


async def text_of(turns: Turns, context: RuntimeExecutionContext) -> str:
    told: list[str] = []
    async with aclosing(turns.factory.create_runtime(turns.runtime).stream_execute(context)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                told.append(event.text)
            elif isinstance(event, TurnFinished):
                told.append(f"[{event.response}]")
    return "".join(told)
