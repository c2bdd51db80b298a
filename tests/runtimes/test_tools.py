"""What every framework's adapter makes of tool calls, on both wires."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.errors import AttemptFenced
from runtimes.factory import RuntimeFactory
from runtimes.types import FinishReason, TextDelta, ToolCallCompleted, ToolCallStarted, ToolResult, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Recorder, Turns, tool


async def test_a_tool_is_called_and_its_result_reaches_the_model(both_ways: Turns) -> None:
    lookup = Recorder(ToolResult("the answer is 42"))

    ran = await both_ways.run('[[say Let me look.;; tool lookup {"q": 1};; result]]', tools=[tool(lookup)])

    assert lookup.calls == [{"q": 1}]
    assert ran.finished.response == "the answer is 42"
    assert "".join(ran.deltas) == "Let me look.the answer is 42"


async def test_several_tool_calls_of_one_answer_run_at_once(both_ways: Turns) -> None:
    meeting = asyncio.Event()
    met: list[int] = []

    async def meet(_: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        assert not isinstance(arguments, str)
        met.append(arguments["q"])
        if len(met) == 3:
            meeting.set()
        await asyncio.wait_for(meeting.wait(), 5)
        return ToolResult(f"met {arguments['q']}")

    script = '[[tool lookup {"q": 1} && lookup {"q": 2} && lookup {"q": 3};; result]]'
    ran = await both_ways.run(script, tools=[tool(meet)])

    assert sorted(met) == [1, 2, 3]
    assert ran.finished.response.splitlines() == ["met 1", "met 2", "met 3"]


async def test_text_before_a_tool_call_is_told_before_the_tool_runs(turns: Turns) -> None:
    told: list[str] = []

    async def listen(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        told.append("tool")
        return ToolResult("")

    runtime = turns.factory.create_runtime(turns.runtime)
    context = turns.context('[[say One two.;; tool lookup {"q": 1};; say Three.]]', tools=[tool(listen)])
    async for event in runtime.stream_execute(context):
        if isinstance(event, TextDelta):
            told.append(event.text)

    assert told == ["One", " two.", "tool", "Three."]


async def test_arguments_are_given_as_the_model_wrote_them(both_ways: Turns) -> None:
    lookup = Recorder()

    await both_ways.run('[[tool lookup {"q": "none", "z": ["True", null]};; result]]', tools=[tool(lookup)])

    assert lookup.calls == [{"q": "none", "z": ["True", None]}]


async def test_arguments_that_are_nested_deeply_end_no_turn(
    factory: RuntimeFactory, framework: str, model: ModelServer
) -> None:
    lookup, nested = Recorder(ToolResult("too deep", is_error=True)), '{"a": ' + "[" * 900 + "]" * 900 + "}"
    turns = Turns(factory, framework, model, model.endpoint(Wire.OPENAI))

    ran = await turns.run(f"[[tool lookup {nested};; result]]", tools=[tool(lookup)])

    assert len(lookup.calls) == 1
    assert ran.finished.response == "too deep"


async def test_broken_arguments_are_given_as_text(factory: RuntimeFactory, framework: str, model: ModelServer) -> None:
    lookup = Recorder(ToolResult("not valid", is_error=True))
    turns = Turns(factory, framework, model, model.endpoint(Wire.OPENAI))

    ran = await turns.run('[[tool lookup {"q": 1;; result]]', tools=[tool(lookup)])

    assert lookup.calls == ['{"q": 1']
    assert ran.finished.response == "not valid"


async def test_an_unknown_tool_is_told_to_the_model_and_to_the_log(both_ways: Turns) -> None:
    ran = await both_ways.run('[[tool lokup {"q": 1};; result]]', tools=[tool(Recorder())])

    text = "There is no tool 'lokup'. Known tools: lookup."
    assert ran.finished.response == text
    started, completed = ran.events[:2]
    assert isinstance(started, ToolCallStarted)
    assert started.name == "lokup"
    assert completed == ToolCallCompleted(started.tool_call_id, "lokup", text, is_error=True)


async def test_a_tool_that_failed_is_told_to_the_model(both_ways: Turns) -> None:
    lookup = Recorder(ToolResult("no such city", is_error=True))

    ran = await both_ways.run('[[tool lookup {"q": 1};; result]]', tools=[tool(lookup)])

    assert ran.finished.response == "no such city"


async def test_a_failure_behind_a_tool_ends_the_turn(both_ways: Turns) -> None:
    async def fenced(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        raise AttemptFenced("A newer attempt has taken over.")

    with pytest.raises(AttemptFenced):
        await both_ways.run('[[tool lookup {"q": 1};; say never]]', tools=[tool(fenced)])


@pytest.mark.parametrize("name", ["lookup", "unknown"])
async def test_an_endless_loop_is_stopped(both_ways: Turns, name: str) -> None:
    configuration = {"runtime_config": {"max_turns": 4}}
    script = f'[[repeat-tool 1000 {name} {{"q": 1}}]]'

    ran = await both_ways.run(script, tools=[tool(Recorder())], configuration=configuration)

    assert ran.finished.finish_reason is FinishReason.TOOL_LIMIT
    assert len(await both_ways.calls(ran.marker)) == 4


async def test_no_more_tools_run_than_the_limit_allows(both_ways: Turns) -> None:
    lookup = Recorder()
    configuration = {"runtime_config": {"tool_call_limit": 3}}
    script = '[[repeat-tool 50 lookup {"q": 1}]]'

    ran = await both_ways.run(script, tools=[tool(lookup)], configuration=configuration)

    assert len(lookup.calls) == 3
    assert ran.finished.finish_reason is FinishReason.TOOL_LIMIT


async def test_a_tool_call_that_was_cut_off_is_not_run(both_ways: Turns) -> None:
    lookup = Recorder()

    ran = await both_ways.run('[[finish length;; say Well.;; tool lookup {"q": 1}]]', tools=[tool(lookup)])

    assert lookup.calls == []
    assert ran.finished.finish_reason is FinishReason.LENGTH
    assert ran.finished.response == "Well."
