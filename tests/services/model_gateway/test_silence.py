"""An answer without a word is none, unless it follows results of tools."""

from typing import Any

import anthropic
import openai
import pytest

from runtimes.errors import ModelAnswerEmpty
from runtimes.types import Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.policy import ModelPolicy, ModelRetries
from services.model_gateway.server import ModelGateway
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import Turn, Turns, model_steps

REFUSED = (openai.APIStatusError, anthropic.APIStatusError)
ONCE = ModelPolicy(model_retries=ModelRetries(attempts=1))


def after_a_tool(turn: Turn) -> list[dict[str, Any]]:
    """A conversation in which a tool was called, to whose result the model says nothing."""
    prompt = {"role": "user", "content": f"{turn.marker} [[tool lookup {{}};; empty]]"}
    if turn.endpoint.wire is Wire.OPENAI:
        call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
        told = {"role": "tool", "tool_call_id": "call_1", "content": "found"}
        return [prompt, {"role": "assistant", "content": None, "tool_calls": [call]}, told]
    use: dict[str, Any] = {"type": "tool_use", "id": "call_1", "name": "lookup", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "found"}
    return [prompt, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]


async def test_an_empty_answer_is_asked_for_again_and_never_replayed(turns: Turns, stream: bool) -> None:
    async with turns.open() as first:
        with pytest.raises(REFUSED):
            await first.ask("[[empty]]", stream=stream)
    async with turns.open(recorded=first.steps.steps, marker=first.marker, policy=ONCE) as second:
        with pytest.raises(REFUSED):
            await second.ask("[[empty]]", stream=stream)

    assert model_steps(first.steps) == [(StepStatus.FAILED, 1)] * 3
    assert first.steps.steps[0].usage.input_tokens > 0
    assert isinstance(second.session.failure, ModelAnswerEmpty)
    assert not second.session.failure.retryable
    assert "base_url" not in second.session.failure.hint
    assert len(await turns.calls(first)) == 4


async def test_after_tools_an_empty_answer_is_one_and_is_replayed(turns: Turns, stream: bool) -> None:
    async with turns.open() as first:
        original = await first.ask("", stream=stream, messages=after_a_tool(first))
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await second.ask("", stream=stream, messages=after_a_tool(second))

    assert original.text == ""
    assert replayed.message == original.message
    assert len(await turns.calls(first)) == 1


async def test_an_answer_that_was_cut_off_is_one(turns: Turns) -> None:
    async with turns.open() as turn:
        answer = await turn.ask("[[finish length]]")

    assert answer.text == ""
    assert model_steps(turn.steps) == [(StepStatus.DONE, 1)]


@pytest.mark.parametrize("script", ["[[refuse no]]", '[[tool lookup {"q": 1}]]'])
async def test_refusals_and_calls_are_answers(turns: Turns, stream: bool, script: str) -> None:
    openai_tools = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]
    anthropic_tools = [{"name": "lookup", "input_schema": {"type": "object"}}]
    async with turns.open() as turn:
        tools = openai_tools if turn.endpoint.wire is Wire.OPENAI else anthropic_tools
        await turn.ask(script, stream=stream, tools=tools)

    assert model_steps(turn.steps) == [(StepStatus.DONE, 1)]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("[[empty]]", StepStatus.FAILED),
        ("[[say hi]]", StepStatus.DONE),
        ('[[tool lookup {"q": 1}]]', StepStatus.DONE),
        (
            [
                {"role": "user", "content": "[[tool lookup {};; empty]]"},
                {"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "found"},
            ],
            StepStatus.DONE,
        ),
    ],
)
async def test_the_same_holds_for_responses(
    gateway: ModelGateway, model: ModelServer, stream: bool, said: Any, status: StepStatus
) -> None:
    tools = [{"type": "function", "name": "lookup", "parameters": {"type": "object"}}]
    async with Turns(gateway, model, Wire.OPENAI).open(policy=ONCE) as turn, turn.client as client:
        try:
            answer = await client.responses.create(model="scripted-1", input=said, tools=tools, stream=stream)
            if stream:
                assert [event async for event in answer]
        except openai.APIStatusError:
            assert status is StepStatus.FAILED

    assert [step.status for step in turn.steps.steps] == [status]
