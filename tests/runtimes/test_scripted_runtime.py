"""The runtime without a framework."""

import asyncio
import time

import pytest

from runtimes.errors import ConfigurationInvalid, ModelRateLimited
from runtimes.factory import RuntimeFactory
from runtimes.scripted_runtime import ScriptedRuntime
from runtimes.types import (
    FinishReason,
    Message,
    ModelEndpoint,
    TextDelta,
    ToolCallCompleted,
    ToolCallStarted,
    ToolResult,
    TurnFinished,
    Wire,
)
from tests.runtimes.turns import Recorder, Turns, tool

NOWHERE = ModelEndpoint("http://127.0.0.1:9", "none", Wire.OPENAI, "none", "none")


@pytest.fixture
def scripted() -> Turns:
    return Turns(RuntimeFactory(), "scripted", None, NOWHERE)


def test_a_plain_prompt_is_answered_without_waiting_for_anything(scripted: Turns) -> None:
    context = scripted.context("hello")
    events = ScriptedRuntime().stream(context)
    told: list[object] = []

    for _ in range(2):
        with pytest.raises(StopIteration) as step:
            events.__anext__().__await__().__next__()
        told.append(step.value.value)

    assert told == [TextDelta("You said: hello"), TurnFinished("You said: hello")]


async def test_directions_are_followed_in_order(scripted: Turns) -> None:
    ran = await scripted.run("[[say Hi there.;; emit 3 @1000]]")

    assert ran.deltas == ["Hi there.", "tok1", " tok2", " tok3"]
    assert ran.finished.response == "Hi there.tok1 tok2 tok3"
    assert ran.finished.finish_reason is FinishReason.STOP


async def test_what_follows_a_tool_is_a_new_message(scripted: Turns) -> None:
    lookup = Recorder(ToolResult("sunny"))

    ran = await scripted.run('[[say Let me look.;; tool lookup {"q": [1]};; result]]', tools=[tool(lookup)])

    assert lookup.calls == [{"q": [1]}]
    assert ran.finished.response == "sunny"


async def test_a_turn_run_again_makes_the_same_calls(scripted: Turns) -> None:
    ids: list[str] = []

    async def lookup(tool_call_id: str, _: object) -> ToolResult:
        ids.append(tool_call_id)
        return ToolResult("")

    for _ in range(2):
        await scripted.run("[[tool lookup {};; tool lookup {}]]", tools=[tool(lookup)])

    assert ids == ["call_1_1", "call_1_2"] * 2


@pytest.mark.parametrize(("ending", "success"), [("say x", True), ("fail model_failed", False)])
async def test_a_failed_turn_has_a_result_too(scripted: Turns, ending: str, success: bool) -> None:
    result = await ScriptedRuntime().execute(scripted.context(f"[[{ending}]]"))

    assert (result.success, result.runtime) == (success, "scripted")
    assert (result.error is None) is success


async def test_an_unknown_tool_is_told(scripted: Turns) -> None:
    ran = await scripted.run("[[tool nothing {};; result]]")

    started, completed = ran.events[:2]
    assert isinstance(started, ToolCallStarted)
    assert isinstance(completed, ToolCallCompleted)
    assert completed.is_error
    assert ran.finished.response == "There is no tool 'nothing'."


async def test_history_can_be_shown(scripted: Turns) -> None:
    ran = await scripted.run("[[history]]", history=[Message(role="assistant", content="before")])

    assert ran.finished.response == "assistant: before"


async def test_it_fails_as_told(scripted: Turns) -> None:
    with pytest.raises(ModelRateLimited):
        await scripted.run("[[fail model_rate_limited]]")


async def test_it_crashes_as_told(scripted: Turns) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        await scripted.run("[[crash]]")


async def test_it_hangs_until_it_is_cancelled(scripted: Turns) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await scripted.run("[[say x;; hang]]")


@pytest.mark.parametrize("direction", ["wait", "spin"])
async def test_it_takes_its_time_and_lets_others_run(scripted: Turns, direction: str) -> None:
    began = time.perf_counter()
    other = asyncio.create_task(asyncio.sleep(0.01))

    await scripted.run(f"[[{direction} 0.1]]")

    assert other.done()
    assert time.perf_counter() - began >= 0.1


@pytest.mark.parametrize("script", ["[[dance]]", "[[emit many]]", "[[wait long]]"])
async def test_directions_that_make_no_sense_are_refused(scripted: Turns, script: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="does not understand"):
        await scripted.run(script)


async def test_a_runtime_says_what_came_out_of_an_executions_turn(scripted: Turns) -> None:
    runtime, context = ScriptedRuntime(), scripted.context("[[emit 3]]")

    await runtime.execute(context)
    metrics = runtime.get_metrics(context.execution_id)

    assert (metrics["events"], metrics["text_deltas"], metrics["tool_calls"]) == (4, 3, 0)
    assert 0 < metrics["first_text_seconds"] <= metrics["seconds"]
    assert runtime.get_metrics("another") == {}
