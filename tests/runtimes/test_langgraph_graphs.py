"""The user's own graphs on the LangGraph runtime."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.errors import ConfigurationInvalid, RuntimeCrashed
from runtimes.factory import RuntimeFactory
from runtimes.types import FinishReason, ToolCallCompleted, ToolCallStarted, ToolResult, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Ran, Recorder, Turns, tool

SAMPLES = "tests.runtimes.sample_graphs"
SCRIPT = '[[say Let me look.;; tool lookup {"q": 1};; result]]'


@pytest.fixture
def graphs(factory: RuntimeFactory, model: ModelServer, wire: Wire) -> Turns:
    return Turns(factory, "langgraph", model, model.endpoint(wire))


async def run(turns: Turns, graph: str, prompt: str, **changes: Any) -> Ran:
    settings = {"graph": f"{SAMPLES}:{graph}", **changes.pop("settings", {})}
    configuration = {"runtime_config": settings, "mood": "Be kind."}
    return await turns.run(prompt, configuration=configuration, modules=[SAMPLES], **changes)


@pytest.mark.parametrize("graph", ["compiled", "builder", "factory", "nested"])
async def test_a_graph_asks_the_model_and_calls_the_tools(graphs: Turns, graph: str) -> None:
    lookup = Recorder(ToolResult("the answer is 42"))

    ran = await run(graphs, graph, SCRIPT, tools=[tool(lookup)])

    assert lookup.calls == [{"q": 1}]
    assert "".join(ran.deltas) == "Let me look.the answer is 42"
    assert ran.finished.response == "the answer is 42"
    assert [type(event).__name__ for event in ran.events if not hasattr(event, "text")] == ["TurnFinished"]


async def test_history_and_system_prompt_are_in_a_graphs_messages(graphs: Turns) -> None:
    ran = await run(graphs, "builder", "[[history]]", system_prompt="Be brief.")

    assert ran.finished.response.splitlines()[0] == "system: Be brief."


async def test_a_factory_gets_what_it_names_and_may_bring_tools(graphs: Turns) -> None:
    ran = await run(graphs, "async_factory", '[[tool own_tool {"word": "abc"};; history]]', system_prompt="Be brief.")

    started, completed = (event for event in ran.events if isinstance(event, ToolCallStarted | ToolCallCompleted))
    assert ran.finished.response.splitlines()[0] == "system: Be kind. Be brief."
    assert isinstance(started, ToolCallStarted)
    assert (started.name, started.arguments) == ("own_tool", '{"word": "abc"}')
    assert completed == ToolCallCompleted(started.tool_call_id, "own_tool", "cba")


async def test_nodes_that_are_no_coroutines_reach_model_and_tools_too(graphs: Turns) -> None:
    lookup = Recorder(ToolResult("42"))

    ran = await run(graphs, "blocking", "[[emit 5]]", tools=[tool(lookup)])

    assert lookup.calls == [{"q": 7}]
    assert "".join(ran.deltas) == ran.finished.response == "tok1 tok2 tok3 tok4 tok5"
    assert len(ran.deltas) == 5


async def test_a_blocked_thread_is_freed_when_the_turn_is_cancelled(graphs: Turns) -> None:
    marker = f"blocked-{time.time_ns()}"
    task = asyncio.create_task(run(graphs, "blocking", f"{marker} [[emit 3;; hang]]"))
    await graphs.calls(marker)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await graphs.calls(marker, until="aborted")


async def test_nodes_side_by_side_are_told_one_after_the_other(graphs: Turns) -> None:
    ran = await run(graphs, "two_answers", "[[emit 20 @200]]")

    answer = " ".join(["tok1", *(f"tok{number}" for number in range(2, 21))])
    assert "".join(ran.deltas) == f"{answer}\n\n{answer}\n\nIn short: {answer}"
    assert ran.finished.response == f"In short: {answer}"


@pytest.mark.parametrize("graph", ["asks_for_ever", "spins_for_ever"])
async def test_a_graph_without_an_end_is_stopped(graphs: Turns, graph: str) -> None:
    ran = await run(graphs, graph, "[[say Again.]]", settings={"max_turns": 3})

    assert ran.finished.finish_reason is FinishReason.TOOL_LIMIT
    assert len(await graphs.model.requests(ran.marker) if graphs.model else []) <= 3


async def test_what_a_graph_raises_is_a_crash(graphs: Turns) -> None:
    with pytest.raises(RuntimeCrashed, match="LookupError: no such shelf"):
        await run(graphs, "crashing", "hello")


async def test_a_coroutine_that_blocks_on_the_model_is_told_how_to_wait(graphs: Turns) -> None:
    with pytest.raises(RuntimeCrashed) as raised:
        await run(graphs, "wrong", "hello")

    assert "await model.ainvoke" in raised.value.hint


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        (f"{SAMPLES}:compile", "has no 'compile'", "Did you mean 'compiled'?"),
        ("os:system", "allows no graphs of module 'os'", SAMPLES),
        ("graph", "is no path to a graph", "package.module:graph"),
        (f"{SAMPLES}:not_a_graph", "is no graph but int", "StateGraph"),
        (f"{SAMPLES}:lost", "is no graph but NoneType", "StateGraph"),
        (f"{SAMPLES}:create_agent", "its module only imports", ""),
        (f"{SAMPLES}:misspelt", "Nobody can fill parameter 'modle'", "model, tools"),
        (f"{SAMPLES}:without_messages", "has no 'messages'", "MessagesState"),
        (f"{SAMPLES}:without_answer", "ended without an answer", "AI message"),
        (f"{SAMPLES}:with_breakpoint", "has breakpoints", "interrupt()"),
    ],
)
async def test_what_is_no_usable_graph_is_refused(
    factory: RuntimeFactory, model: ModelServer, path: str, message: str, hint: str
) -> None:
    turns = Turns(factory, "langgraph", model, model.endpoint(Wire.OPENAI))

    with pytest.raises(ConfigurationInvalid) as raised:
        await turns.run("hello", configuration={"runtime_config": {"graph": path}}, modules=[SAMPLES])

    assert message in raised.value.message
    assert hint in raised.value.message + raised.value.hint


async def test_a_failure_behind_a_tool_ends_a_graph_that_handles_errors(graphs: Turns) -> None:
    async def stopped(_: str, __: Mapping[str, Any] | str) -> ToolResult:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await run(graphs, "compiled", SCRIPT, tools=[tool(stopped)])
