"""A model call that fails ends the turn at once, in every framework, on both wires: the gateway knows what it was."""

import time
from contextlib import suppress

import pytest

from runtimes.errors import RuntimeFailure
from runtimes.factory import RuntimeFactory
from runtimes.types import ModelEndpoint, Wire
from tests.runtimes.turns import Recorder, Turns, tool


@pytest.mark.parametrize(
    "script",
    [
        "[[error 429 retry-after 7]]",
        "[[error 401]]",
        "[[error 404]]",
        "[[error 500]]",
        "[[context-too-long]]",
        "[[drop]]",
        "[[emit 3;; drop]]",
        "[[emit 3;; stream-error]]",
        "[[html]]",
        "[[garbage]]",
        "[[emit 2;; garbage]]",
        "[[empty]]",
    ],
)
async def test_a_call_that_fails_is_never_an_answer(both_ways: Turns, script: str) -> None:
    with pytest.raises(RuntimeFailure):
        await both_ways.run(script)


@pytest.mark.parametrize("failure", ["error 429 retry-after 7", "error 500", "drop", "html"])
async def test_a_call_that_fails_is_made_once(both_ways: Turns, failure: str) -> None:
    marker = f"once-{time.time_ns()}"

    with suppress(RuntimeFailure):
        await both_ways.run(f"{marker} [[{failure}]]")

    assert len(await both_ways.calls(marker)) == 1


async def test_a_call_that_fails_after_a_tool_ends_the_turn(both_ways: Turns) -> None:
    lookup = Recorder()

    with pytest.raises(RuntimeFailure):
        await both_ways.run('[[tool lookup {"q": 1};; error 500]]', tools=[tool(lookup)])

    assert len(lookup.calls) == 1


async def test_an_endpoint_that_nobody_serves_fails_the_turn(
    factory: RuntimeFactory, framework: str, wire: Wire
) -> None:
    endpoint = ModelEndpoint("http://127.0.0.1:9", "none", wire, "m", "gone")

    with pytest.raises(RuntimeFailure):
        await Turns(factory, framework, None, endpoint).run("hello")
