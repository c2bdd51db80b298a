"""Responses, embeddings and token counts."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import APIError

from runtimes.errors import ModelConnectionBroken, ModelFailure
from runtimes.types import Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.server import ModelGateway
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import Steps, Turn, Turns, model_steps

TOOLS = [{"type": "function", "name": "lookup", "parameters": {"type": "object"}}]
SCRIPTS = [
    "[[say Good morning to you all.;; usage 40 9 cached 8 reasoning 2]]",
    '[[say Look.;; tool lookup {"q": 1} && lookup {"q": 2}]]',
    "[[say cut;; finish length]]",
]


@pytest.fixture
def turns(gateway: ModelGateway, model: ModelServer) -> Turns:
    """Turns on the OpenAI wire."""
    return Turns(gateway, model, Wire.OPENAI)


async def respond(turn: Turn, script: str, *, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "scripted-1", "input": f"{turn.marker} {script}", "tools": TOOLS}
    async with turn.client as client:
        if not stream:
            return (await client.responses.create(**body)).model_dump()
        async with client.responses.stream(**body) as events:
            seen = [event async for event in events]
            assert seen[-1].type in {"response.completed", "response.incomplete"}
            return seen[-1].response.model_dump()


@pytest.mark.parametrize("script", SCRIPTS)
async def test_responses_are_replayed(turns: Turns, stream: bool, script: str) -> None:
    async with turns.open() as first:
        original = await respond(first, script, stream=stream)
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await respond(second, script, stream=stream)

    assert replayed == original
    assert len(await turns.calls(first)) == 1
    assert second.steps.writes == []


async def test_usage_of_responses_is_kept(turns: Turns, stream: bool) -> None:
    async with turns.open() as turn:
        await respond(turn, SCRIPTS[0], stream=stream)

    usage = turn.steps.done.usage
    assert (usage.input_tokens, usage.output_tokens) == (40, 9)
    assert (usage.cached_input_tokens, usage.reasoning_tokens) == (8, 2)


@pytest.mark.parametrize(
    ("direction", "failure"), [("drop", ModelConnectionBroken), ("stream-error", ModelFailure), ("error 500", None)]
)
async def test_a_response_that_breaks_is_an_error(
    turns: Turns, direction: str, failure: type[ModelFailure] | None
) -> None:
    async with turns.open() as turn:
        with pytest.raises(APIError):
            await respond(turn, f"[[say It began;; wait 0.05;; {direction}]]", stream=True)

    assert isinstance(turn.session.failure, failure or ModelFailure)
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 1)]


async def test_embeddings_are_replayed(turns: Turns) -> None:
    async def embed(turn: Turn) -> Any:
        async with turn.client as client:
            return await client.embeddings.create(model="scripted-1", input=[f"{turn.marker} a", "b"])

    async with turns.open() as first:
        original = await embed(first)
    async with turns.open(recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await embed(second)

    assert replayed == original
    assert len(original.data) == 2
    assert second.steps.writes == []
    assert first.steps.done.usage.input_tokens == original.usage.prompt_tokens
    assert first.steps.done.usage.output_tokens == 0


async def test_counting_tokens_is_no_call(gateway: ModelGateway, model: ModelServer) -> None:
    steps = Steps()

    async with Turns(gateway, model, Wire.ANTHROPIC).open(steps=steps) as turn:
        client: AsyncAnthropic = turn.client
        async with client:
            messages: Any = [{"role": "user", "content": "x" * 400}]
            counted = await client.messages.count_tokens(model="scripted-1", messages=messages)

    assert counted.input_tokens == 100
    assert steps.writes == []
