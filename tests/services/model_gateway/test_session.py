"""Who may call, what, and for how long."""

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from runtimes.errors import ConfigurationInvalid, ModelUnknown
from runtimes.types import Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.policy import ModelPolicy
from tests.services.model_gateway.gateways import Steps, Turn, Turns, model_steps
from tests.services.model_gateway.test_commit import Heard, listen


async def post(url: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    async with aiohttp.ClientSession() as http, http.post(url, json=body or {}, headers=headers) as response:
        return response.status, await response.json()


def url(turn: Turn) -> str:
    paths = {Wire.OPENAI: "/chat/completions", Wire.ANTHROPIC: "/v1/messages"}
    return turn.endpoint.base_url + paths[turn.endpoint.wire]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nope"}, {"x-api-key": "sk-1"}, {"x-api-key": "é"}])
async def test_a_wrong_token_is_refused_in_the_wires_words(turns: Turns, headers: dict[str, str]) -> None:
    async with turns.open() as turn:
        status, answer = await post(url(turn), headers)

    assert status == 401
    if turns.wire == "openai":
        assert answer["error"]["code"] == "invalid_api_key"
    else:
        assert (answer["type"], answer["error"]["type"]) == ("error", "authentication_error")


async def test_a_token_is_taken_in_either_header(turns: Turns) -> None:
    async with turns.open() as turn:
        token = turn.endpoint.api_key
        body = {"model": "scripted-1", "messages": [{"role": "user", "content": "[[say hi]]"}], "max_tokens": 5}
        answers = [await post(url(turn), {name: value}, body) for name, value in both(token).items()]

    assert [status for status, _ in answers] == [200, 200]


async def test_a_token_ends_with_its_session(turns: Turns) -> None:
    async with turns.open() as turn:
        pass

    status, _ = await post(url(turn), both(turn.endpoint.api_key))

    assert status == 401


async def test_each_session_has_a_token_of_its_own(turns: Turns) -> None:
    async with turns.open() as one, turns.open() as other:
        assert one.endpoint.api_key != other.endpoint.api_key
        assert one.endpoint.api_key not in repr(one.endpoint)


async def test_unknown_paths_are_told_in_the_wires_words(turns: Turns) -> None:
    async with turns.open() as turn:
        status, answer = await post(f"{url(turn)}/batches", both(turn.endpoint.api_key))

    assert status == 404
    assert answer["error"]["type"] == ("not_found_error" if turns.wire == "anthropic" else "invalid_request_error")


@pytest.mark.parametrize("body", [[], {"messages": []}, {"model": 5}])
async def test_what_is_no_request_is_refused(turns: Turns, body: Any) -> None:
    async with turns.open() as turn:
        status, answer = await post(url(turn), both(turn.endpoint.api_key), body or ["x"])

    assert status == 400
    assert "error" in answer


async def test_the_other_wire_has_no_models(turns: Turns) -> None:
    other = Wire.OPENAI if turns.wire is Wire.ANTHROPIC else Wire.ANTHROPIC
    path = "/v1/messages" if other is Wire.ANTHROPIC else "/v1/chat/completions"

    async with turns.open() as turn:
        root = turn.endpoint.base_url.removesuffix("/v1")
        status, _ = await post(root + path, both(turn.endpoint.api_key), {"model": "scripted-1", "messages": []})

    assert status == 404


async def test_models_are_the_agents_own(turns: Turns) -> None:
    policy = ModelPolicy(model_fallbacks=[f"{turns.wire}/other"])

    async with turns.open(policy=policy) as turn, turn.client as client:
        listed = await client.models.list()

    assert [model.id for model in listed.data] == ["scripted-1", "other"]
    assert turn.steps.writes == []


async def test_a_fallback_of_another_wire_is_refused(turns: Turns) -> None:
    other = "openai" if turns.wire is Wire.ANTHROPIC else "anthropic"

    with pytest.raises(ConfigurationInvalid, match="another wire"):
        async with turns.open(policy=ModelPolicy(model_fallbacks=[f"{other}/any"])):
            pass


async def test_an_unknown_model_is_refused_when_the_session_opens(turns: Turns) -> None:
    with pytest.raises(ModelUnknown):
        async with turns.open(model_id="nobody/any"):
            pass


async def test_the_end_of_a_session_closes_its_provider_calls(turns: Turns, stream: bool) -> None:
    async with turns.open() as turn:
        asking = asyncio.create_task(turn.ask("[[say hi;; hang]]", stream=stream))
        await turns.calls(turn, until="running")
        await turn.steps.until_written(StepStatus.CLAIMED)
        began = time.monotonic()

    took = time.monotonic() - began
    (call,) = await turns.calls(turn, until="aborted")
    assert call["outcome"] == "aborted"
    assert took < 1
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 1)]
    with pytest.raises(Exception, match=r".*"):
        await asking


async def test_a_framework_that_goes_away_ends_its_provider_call(turns: Turns) -> None:
    heard = Heard()

    async with turns.open() as turn:
        listening = asyncio.create_task(listen(turn, "[[say hi;; hang]]", heard))
        await heard.until("hi")
        listening.cancel()
        began = time.monotonic()
        await turns.calls(turn, until="aborted")
        took = time.monotonic() - began
        await turn.steps.until_written(StepStatus.FAILED)

    assert took < 1
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 1)]
    assert turn.session.failure is None


async def test_an_answer_that_is_being_stored_is_stored_though_nobody_waits(turns: Turns) -> None:
    gate, steps = asyncio.Event(), Steps()
    steps.before[StepStatus.DONE] = gate.wait

    async with turns.open(steps=steps) as turn:
        asking = asyncio.create_task(turn.ask("[[say hi]]"))
        await turns.calls(turn, until="completed")
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.sleep(0.05)
        gate.set()

    assert model_steps(turn.steps) == [(StepStatus.DONE, 1)]


async def test_every_call_is_a_sign_of_life(turns: Turns) -> None:
    signs: list[None] = []

    async with turns.open(on_activity=lambda: signs.append(None)) as turn:
        await turn.ask("[[emit 5 @100]]", stream=True)

    assert len(signs) >= 3


def both(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "x-api-key": token}
