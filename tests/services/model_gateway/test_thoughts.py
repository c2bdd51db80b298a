"""A framework may drop what a model thought: its provider gets it back all the same."""

from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from runtimes.types import Wire
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.provider_bodies.replay import Replay
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import Turn, Turns


@pytest.fixture
async def gateway(provider_bodies: Replay) -> AsyncGenerator[ModelGateway]:
    gateway = ModelGateway(ProviderRegistry([Provider("anthropic", provider_bodies.url, "sk", Wire.ANTHROPIC)]))
    await gateway.start()
    yield gateway
    await gateway.close()


@pytest.mark.parametrize("name", ["a-thinking", "a-redacted-first"])
@pytest.mark.parametrize("again", [False, True], ids=["in the same attempt", "in a later one"])
async def test_a_strict_provider_gets_the_thoughts_back(
    gateway: ModelGateway, provider_bodies: Replay, name: str, again: bool
) -> None:
    turns = Turns(gateway, ModelServer(provider_bodies.url), Wire.ANTHROPIC, model_id=f"anthropic/{name}")
    asked: list[Any] = [{"role": "user", "content": "case thoughts"}]
    call = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 2, "b": 3}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "5"}
    after = [*asked, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]

    async with turns.open() as first:
        await post(first, asked)
        if not again:
            await post(first, after)
    if again:
        async with turns.open(recorded=first.steps.steps) as second:
            await post(second, after)

    assert len(provider_bodies.log) == 2
    kinds = [block["type"] for block in provider_bodies.log[-1].body["messages"][1]["content"]]
    assert kinds[-1] == "tool_use"
    assert set(kinds[:-1]) <= {"thinking", "redacted_thinking"}


async def post(turn: Turn, messages: list[Any]) -> None:
    body = {"model": turn.endpoint.model, "max_tokens": 99, "stream": True, "messages": messages}
    headers = {"x-api-key": turn.endpoint.api_key}
    url = f"{turn.endpoint.base_url}/v1/messages"
    async with aiohttp.ClientSession(headers=headers) as http, http.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
