"""Answers as providers give them that are not quite like the others."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from runtimes.errors import ModelAnswerInvalid, ModelFailure
from runtimes.types import Usage, Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.policy import ModelPolicy, ModelRetries, ModelTimeouts
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import KEY, Turn, Turns
from tests.services.model_gateway.odd_provider import EVENTS, JSON, Odd, odd_provider

ONCE = ModelPolicy(model_retries=ModelRetries(attempts=1))
HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    async with odd_provider() as odd:
        yield odd


@pytest.fixture
async def turns(odd: Odd, model: ModelServer) -> AsyncIterator[Turns]:
    providers = [Provider("openai", f"{odd.url}/v1", KEY), Provider("anthropic", odd.url, KEY, Wire.ANTHROPIC)]
    gateway = ModelGateway(ProviderRegistry(providers))
    await gateway.start()
    yield Turns(gateway, model, Wire.OPENAI)
    await gateway.close()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({**HEAD, 'choices': [choice], **more})}\n\n"


def chunks(*parts: str) -> bytes:
    return "".join(parts).encode()


async def raw(turn: Turn, **more: Any) -> tuple[int, str]:
    """Status and bytes of a chat completion, streamed if nothing else is said."""
    body = {"model": "scripted-1", "messages": [{"role": "user", "content": "hi"}], "stream": True, **more}
    headers = {"authorization": f"Bearer {turn.endpoint.api_key}"}
    url = f"{turn.endpoint.base_url}/chat/completions?beta=true"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        return response.status, await response.text()


async def test_usage_is_asked_for_and_kept_back(turns: Turns, odd: Odd) -> None:
    usage = f"data: {json.dumps({**HEAD, 'choices': [], 'usage': {'prompt_tokens': 7, 'completion_tokens': 2}})}\n\n"
    odd.answer = chunks(chunk({"content": "hi"}), chunk({}, "stop"), usage, "data: [DONE]\n\n")

    async with turns.open() as turn:
        _, without = await raw(turn)
        _, with_usage = await raw(turn, stream_options={"include_usage": True})

    assert all(json.loads(body)["stream_options"] == {"include_usage": True} for body in odd.bodies)
    assert "prompt_tokens" not in without
    assert "prompt_tokens" in with_usage
    usage_of_each = Usage(input_tokens=7, output_tokens=2, model_calls=1, cost_usd=None)
    assert [step.usage for step in turn.steps.steps] == [usage_of_each] * 2


async def test_the_key_is_the_providers_and_the_query_is_kept(turns: Turns, odd: Odd) -> None:
    odd.answer = chunks(chunk({"content": "hi"}), chunk({}, "stop"))

    async with turns.open() as turn:
        await raw(turn)

    (received,) = odd.received
    assert received["authorization"] == f"Bearer {KEY}"
    assert turn.endpoint.api_key not in str(received)
    assert odd.queries == ["/v1/chat/completions?beta=true"]


@pytest.mark.parametrize("end", ["", "\n", "data: [DONE]"], ids=["none", "newline", "unfinished"])
async def test_a_stream_may_end_without_its_mark(turns: Turns, odd: Odd, end: str) -> None:
    odd.answer = chunks(": a comment\n\n", chunk({"content": "hi"}), chunk({}, "stop"), end)

    async with turns.open() as turn:
        status, text = await raw(turn)

    assert (status, turn.steps.done.status) == (200, StepStatus.DONE)
    assert "comment" not in text


async def test_what_an_answer_cost_is_not_known_if_it_does_not_say(turns: Turns, odd: Odd) -> None:
    odd.answer = chunks(chunk({"content": "hi"}), chunk({}, "stop"))

    async with turns.open() as turn:
        await raw(turn)

    used = turn.steps.done.usage
    assert used == Usage(model_calls=1, cost_usd=None, reserved_tokens=used.reserved_tokens)
    assert used.reserved_tokens > 0


async def test_lines_may_end_in_the_old_way(turns: Turns, odd: Odd) -> None:
    odd.answer = chunks(chunk({"content": "hi"}), chunk({}, "stop"), "data: [DONE]\n\n").replace(b"\n", b"\r\n")

    async with turns.open() as turn:
        _, text = await raw(turn)

    assert '"hi"' in text
    assert turn.session.failure is None


@pytest.mark.parametrize(
    ("answer", "content_type"),
    [
        (b"", EVENTS),
        (b": ping\n\n", EVENTS),
        (b'data: "text"\n\n', EVENTS),
        (b"data: {broken\n\n", EVENTS),
        (chunks(chunk({"role": "assistant", "content": ""})), EVENTS),
        (b'{"choices": []}', JSON),
        (b"<html></html>", "text/html"),
    ],
)
async def test_what_is_no_answer_is_an_error(turns: Turns, odd: Odd, answer: bytes, content_type: str) -> None:
    odd.answer, odd.content_type = answer, content_type

    async with turns.open(policy=ONCE) as turn:
        status, text = await raw(turn)

    assert status == 500
    assert json.loads(text)["error"]["code"] == "model_answer_invalid"
    assert type(turn.session.failure) is ModelAnswerInvalid


async def test_an_end_alone_is_an_empty_answer(turns: Turns, odd: Odd) -> None:
    odd.answer = b"data: \n\ndata: [DONE]\n\n"

    async with turns.open() as turn:
        status, text = await raw(turn)

    assert (status, json.loads(text)["error"]["code"]) == (500, "model_answer_empty")
    assert turn.session.failure is not None
    assert "base_url" not in turn.session.failure.hint
    assert len(odd.bodies) == 3


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{', b"null"])
async def test_a_whole_answer_has_to_be_one_too(turns: Turns, odd: Odd, answer: bytes) -> None:
    odd.answer, odd.content_type = answer, JSON

    async with turns.open(policy=ONCE) as turn:
        status, _ = await raw(turn, stream=False)

    assert status == 500
    assert type(turn.session.failure) is ModelAnswerInvalid


async def test_an_error_with_status_200_is_an_error(turns: Turns, odd: Odd) -> None:
    odd.answer, odd.content_type = b'{"error": {"message": "busy", "code": "server_overloaded"}}', JSON

    async with turns.open(policy=ONCE) as turn:
        await raw(turn, stream=False)

    assert isinstance(turn.session.failure, ModelFailure)
    assert "busy" in turn.session.failure.message


async def test_a_redirect_is_not_followed_with_the_key(turns: Turns, odd: Odd) -> None:
    odd.status, odd.headers = 302, {"location": odd.url}

    async with turns.open(policy=ONCE) as turn:
        await raw(turn)

    assert len(odd.bodies) == 1
    assert type(turn.session.failure) is ModelAnswerInvalid


async def test_half_characters_do_no_harm(turns: Turns, odd: Odd) -> None:
    odd.answer = chunks(chunk({"content": "\ud83d"}), chunk({"content": "!"}), chunk({}, "stop"))

    async with turns.open() as turn:
        await raw(turn)

    events = turn.steps.done.response["events"]
    assert events[0]["choices"][0]["delta"]["content"] == "\N{REPLACEMENT CHARACTER}!"


async def test_deep_nesting_is_refused(turns: Turns) -> None:
    body = b'{"model": ' + b"[" * 100_000
    headers = {"authorization": "Bearer "}

    async with turns.open() as turn, aiohttp.ClientSession() as http:
        headers["authorization"] += turn.endpoint.api_key
        async with http.post(f"{turn.endpoint.base_url}/chat/completions", data=body, headers=headers) as response:
            status = response.status

    assert status == 400


async def test_anthropic_headers_go_through(turns: Turns, odd: Odd) -> None:
    odd.answer, odd.content_type = b'{"content": [], "usage": {"input_tokens": 1, "output_tokens": 0}}', JSON
    turns.wire = Wire.ANTHROPIC

    async with turns.open() as turn:
        await turn.ask("hi", extra_headers={"anthropic-beta": "one,two", "anthropic-version": "2024-01-01"})

    (received,) = odd.received
    assert received["x-api-key"] == KEY
    assert (received["anthropic-beta"], received["anthropic-version"]) == ("one,two", "2024-01-01")


async def test_a_message_that_stopped_needs_no_last_event(turns: Turns, odd: Odd) -> None:
    turns.wire = Wire.ANTHROPIC
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    ]
    odd.answer = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)

    async with turns.open(policy=ONCE) as turn:
        body = {"model": "scripted-1", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        headers = {"x-api-key": turn.endpoint.api_key}
        url = f"{turn.endpoint.base_url}/v1/messages"
        async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
            text = await response.text()

    assert turn.steps.done.status is StepStatus.DONE
    assert text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


async def test_an_answer_that_breaks_off_is_a_broken_connection(turns: Turns, odd: Odd) -> None:
    odd.answer = chunks(chunk({"role": "assistant", "content": "Half an "}))

    async with turns.open(policy=ONCE) as turn:
        with pytest.raises(aiohttp.ClientPayloadError):
            await raw(turn)

    assert turn.session.failure is not None
    assert turn.session.failure.code == "model_connection_broken"


async def test_a_comment_is_no_first_byte(turns: Turns, odd: Odd) -> None:
    odd.before, odd.pause = b": OPENROUTER PROCESSING\n\n", 0.6
    odd.answer = chunks(chunk({"content": "hi"}), chunk({}, "stop"), "data: [DONE]\n\n")
    patient = ModelTimeouts(first_byte_seconds=5.0, idle_seconds=0.2)

    async with turns.open(policy=ModelPolicy(model_timeouts=patient)) as turn:
        await raw(turn)

    assert turn.session.failure is None
    assert len(odd.bodies) == 1
