"""What every framework's adapter makes of a model's answer, on both wires."""

import asyncio

import pytest

from runtimes.factory import RuntimeFactory
from runtimes.types import FinishReason, Message, ToolResult, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Recorder, Turns, tool


async def test_a_plain_prompt_is_answered(both_ways: Turns) -> None:
    ran = await both_ways.run("[[say Hello there, friend.]]")

    assert ran.finished.response == "Hello there, friend."
    assert ran.finished.finish_reason is FinishReason.STOP
    assert "".join(ran.deltas) == "Hello there, friend."


async def test_a_stream_comes_in_pieces_that_join_to_the_answer(turns: Turns) -> None:
    ran = await turns.run("[[emit 200]]")

    assert len(ran.deltas) == 200
    assert "".join(ran.deltas) == ran.finished.response
    assert [call["stream"] for call in await turns.calls(ran.marker)] == [True]


async def test_without_streaming_the_provider_is_not_asked_to_stream(
    factory: RuntimeFactory, framework: str, model: ModelServer, wire: Wire
) -> None:
    turns = Turns(factory, framework, model, model.endpoint(wire), streaming=False)

    ran = await turns.run("[[emit 5]]")

    assert ran.deltas == ["tok1 tok2 tok3 tok4 tok5"]
    assert [call["stream"] for call in await turns.calls(ran.marker)] == [False]


async def test_system_prompt_and_history_reach_the_model_unchanged(both_ways: Turns) -> None:
    history = [Message(role="user", content="first {a}"), Message(role="assistant", content="second {{b}}")]

    ran = await both_ways.run("[[history]]", system_prompt="You are {name}.", history=history)

    lines = ran.finished.response.splitlines()
    assert lines[:3] == ["system: You are {name}.", "user: first {a}", "assistant: second {{b}}"]
    assert lines[3].startswith(f"user: {ran.marker}")


@pytest.mark.parametrize(
    ("script", "reason", "response"),
    [
        ("[[finish length;; say Cut he]]", FinishReason.LENGTH, "Cut he"),
        ("[[finish content_filter;; say No]]", FinishReason.CONTENT_FILTER, "No"),
        ("[[refuse I will not.]]", FinishReason.CONTENT_FILTER, "I will not."),
        ("[[finish length;; empty]]", FinishReason.LENGTH, ""),
    ],
)
async def test_finish_reasons_are_told(both_ways: Turns, script: str, reason: FinishReason, response: str) -> None:
    ran = await both_ways.run(script)

    assert ran.finished.finish_reason is reason
    assert ran.finished.response == response


async def test_an_empty_answer_after_tools_is_an_answer(both_ways: Turns) -> None:
    ran = await both_ways.run('[[tool lookup {"q": 1};; empty]]', tools=[tool(Recorder())])

    assert ran.finished.response == ""
    assert ran.finished.finish_reason is FinishReason.STOP


async def test_fifty_executions_at_once_never_see_each_other(both_ways: Turns) -> None:
    async def one(number: int) -> tuple[str, str]:
        canary = f"canary-{number:03}"
        history = [Message(role="user", content=canary), Message(role="assistant", content=canary)]
        lookup = Recorder(ToolResult(canary))
        script = '[[tool lookup {"q": 1};; history]]'
        ran = await both_ways.run(script, system_prompt=canary, history=history, tools=[tool(lookup)])
        return canary, ran.finished.response

    answers = await asyncio.gather(*(one(number) for number in range(50)))

    for canary, response in answers:
        assert response.count(canary) >= 3
        assert response.count("canary-") == response.count(canary)


async def test_model_parameters_and_tool_schemas_reach_the_wire(turns: Turns, wire: Wire) -> None:
    lookup = tool(Recorder())
    configuration = {"temperature": 0.5, "max_tokens": 77, "top_p": 0.9, "stop": "END"}

    ran = await turns.run("[[say ok]]", tools=[lookup], configuration=configuration)

    body = (await turns.calls(ran.marker))[0]["body"]
    assert (body["temperature"], body["max_tokens"], body["top_p"]) == (0.5, 77, 0.9)
    sent = body["tools"][0]
    if wire is Wire.OPENAI:
        assert body["stop"] in ("END", ["END"])
        assert sent["function"] == {
            "name": "lookup",
            "description": lookup.description,
            "parameters": lookup.parameters,
        }
    else:
        assert body["stop_sequences"] == ["END"]
        assert sent == {"name": "lookup", "description": lookup.description, "input_schema": lookup.parameters}
