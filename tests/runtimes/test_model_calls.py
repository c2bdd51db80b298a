"""The account of model calls, which is right also where a turn is cut off."""

import asyncio
import time

import pytest

from runtimes.errors import ModelAnswerInvalid, ModelFailure
from runtimes.factory import RuntimeFactory
from runtimes.scripted_runtime import ScriptedRuntime
from runtimes.types import ModelCalls, ModelEndpoint, Usage, Wire
from tests.runtimes.turns import Recorder, Turns, tool

NOWHERE = ModelEndpoint("http://127.0.0.1:9", "none", Wire.OPENAI, "none", "none")
FIRST = '[[usage 100 10;; tool lookup {"q": 1};;'


async def test_a_call_that_fails_is_counted_and_those_before_it_keep_their_tokens(agno: Turns) -> None:
    account = ModelCalls()

    with pytest.raises(ModelFailure):
        await agno.run(f"{FIRST} error 500]]", tools=[tool(Recorder())], model_calls=account)

    assert account.usage == Usage(input_tokens=100, output_tokens=10, model_calls=2)
    assert account.model == "scripted-1"


async def test_a_call_that_is_cut_off_is_counted_and_those_before_it_keep_their_tokens(agno: Turns) -> None:
    account, marker = ModelCalls(), f"cut-{time.time_ns()}"
    prompt = f"{marker} {FIRST} hang]]"
    turn = asyncio.create_task(agno.run(prompt, tools=[tool(Recorder())], model_calls=account))
    while len(await agno.calls(marker)) < 2:
        await asyncio.sleep(0.02)

    turn.cancel()

    with pytest.raises(asyncio.CancelledError):
        await turn
    assert account.usage == Usage(input_tokens=100, output_tokens=10, model_calls=2)


async def test_an_answer_that_is_refused_has_cost_its_tokens(agno: Turns) -> None:
    account = ModelCalls()

    with pytest.raises(ModelAnswerInvalid):
        await agno.run("[[usage 7 1;; empty]]", model_calls=account)

    assert account.usage == Usage(input_tokens=7, output_tokens=1, model_calls=1)


@pytest.mark.parametrize(("ending", "success"), [("say x", True), ("fail model_failed", False)])
async def test_a_result_has_the_calls_of_its_turn_failed_or_not(ending: str, success: bool) -> None:
    context = Turns(RuntimeFactory(), "scripted", None, NOWHERE).context(f"[[tool x {{}};; {ending}]]")

    result = await ScriptedRuntime().execute(context)

    assert (result.success, result.usage.model_calls, result.model) == (success, 2, "scripted")


async def test_usage_is_summed_over_all_calls_and_the_same_on_every_wire(agno: Turns) -> None:
    script = '[[usage 100 10 cached 40 reasoning 3;; tool lookup {"q": 1};; usage 200 20 cached 150;; say Done.]]'

    ran = await agno.run(script, tools=[tool(Recorder())])

    assert ran.calls.usage == Usage(
        input_tokens=300,
        output_tokens=30,
        cached_input_tokens=190,
        reasoning_tokens=3,
        model_calls=2,
    )
