"""Answers that real providers send, as a framework gets them: put right, and exactly what the journal keeps."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from runtimes.errors import ModelFailure
from runtimes.types import ModelEndpoint, Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.pricing import usage
from services.model_gateway.server import ModelGateway
from services.model_gateway.wires.messages import MessagesWire
from services.providers import Provider, ProviderRegistry
from tests.provider_bodies.body import named
from tests.provider_bodies.replay import Replay
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import KEY, Turn, Turns
from tests.services.model_gateway.odd_provider import served

Called = tuple[str, dict[str, Any]]
Part = Callable[[str, str], web.Response]

ADD: Called = ("add", {"a": 2, "b": 3})
MUL: Called = ("mul", {"a": 4, "b": 5})
NOW: Called = ("now", {})


@pytest.fixture
async def turns(provider_bodies: Replay, model: ModelServer) -> AsyncIterator[Turns]:
    async with gateway_to(provider_bodies.url) as gateway:
        yield Turns(gateway, model, Wire.OPENAI)


@asynccontextmanager
async def gateway_to(url: str) -> AsyncGenerator[ModelGateway]:
    gateway = ModelGateway(
        ProviderRegistry([Provider("openai", f"{url}/v1", KEY), Provider("anthropic", url, KEY, Wire.ANTHROPIC)])
    )
    await gateway.start()
    yield gateway
    await gateway.close()


class Seen:
    """A stream as a framework gets it: its events, and the message that they make."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
        self.is_over = "[DONE]" in lines
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines if line != "[DONE]"]
        choices = [choice for event in self.events for choice in event.get("choices", ())]
        self.deltas: list[dict[str, Any]] = [choice["delta"] for choice in choices]
        self.finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]

    @property
    def text(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [call for delta in self.deltas for call in delta.get("tool_calls", ())]

    @property
    def called(self) -> list[Called]:
        return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in self.calls]


async def ask(turn: Turn, *after: dict[str, Any], **more: Any) -> Seen:
    prompt = {"role": "user", "content": f"case {turn.marker}"}
    body = {"model": turn.endpoint.model, "messages": [prompt, *after], "stream": True, "max_tokens": 100, **more}
    path = "chat/completions" if turn.endpoint.wire is Wire.OPENAI else "v1/messages"
    headers = {"authorization": f"Bearer {turn.endpoint.api_key}"}
    url = f"{turn.endpoint.base_url}/{path}"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        pieces: list[bytes] = []
        with suppress(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                pieces.append(piece)
        return Seen(response.status, b"".join(pieces).decode())


def results(seen: Seen) -> list[dict[str, Any]]:
    """The next part of a conversation, as a framework sends it that keeps what it knows of a call, and no more."""
    known = ("id", "type", "function")
    calls = [{name: call[name] for name in known} for call in seen.calls]
    told = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in calls]
    return [{"role": "assistant", "content": seen.text or None, "tool_calls": calls}, *told]


@pytest.mark.parametrize(
    ("model", "called"),
    [
        ("index0", [ADD, MUL]),
        ("no-index-two", [ADD, MUL]),
        ("index-from-1", [ADD]),
        ("repeat-name", [ADD]),
        ("args-object", [ADD]),
        ("args-absent", [NOW]),
        ("args-empty", [NOW]),
        ("function-null", [ADD]),
        ("qwen-args-null", [ADD]),
        ("no-id", [ADD, ("mul", {"a": 2, "b": 3})]),
        ("empty-id", [ADD, ("mul", {"a": 2, "b": 3})]),
        ("interleaved", [ADD, MUL]),
        ("gemini-3-pro", [ADD]),
        ("deepseek-v4-pro", [ADD]),
    ],
)
async def test_calls_come_as_they_should(turns: Turns, model: str, called: list[Called]) -> None:
    async with turns.open(model_id=f"openai/{model}") as first:
        seen = await ask(first)
        then = await ask(first, *results(seen))
    async with turns.open(model_id=f"openai/{model}", recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await ask(second)

    ids = [call["id"] for call in seen.calls]
    assert seen.called == called
    assert [call["index"] for call in seen.calls] == list(range(len(called)))
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert {call["type"] for call in seen.calls} == {"function"}
    assert seen.finishes == ["tool_calls"]
    assert (then.text, then.finishes) == ("Final answer.", ["stop"])
    assert replayed.calls == seen.calls
    assert second.steps.writes == []


async def test_ids_are_the_same_whenever_the_same_is_asked(turns: Turns) -> None:
    seen: list[Seen] = []
    for _ in range(2):
        async with turns.open(model_id="openai/no-id", marker="the-same") as turn:
            seen.append(await ask(turn))

    assert seen[0].calls == seen[1].calls


async def test_an_id_that_the_request_has_is_given_to_no_other_call(turns: Turns) -> None:
    async with turns.open(model_id="openai/function-null") as turn:
        first = await ask(turn)
    before = {"role": "user", "content": "before"}
    async with turns.open(model_id="openai/function-null", marker="other") as turn:
        told = [{**message, "role": "user"} for message in results(first)]
        second = await ask(turn, *told, before)

    assert first.calls[0]["id"] == "call_q"
    assert second.calls[0]["id"] != "call_q"


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("azure-filter", "Azure answer."),
        ("no-finish", "The whole answer."),
        ("no-done", "The whole answer."),
        ("empty-string-finish", "The whole answer."),
        ("finish-early", "One two."),
        ("nul-text", "K\N{REPLACEMENT CHARACTER}f2rsou end."),
        ("sse-data-null", "Half whole."),
        ("sse-empty-data", "Half whole."),
        ("sse-keepalive-json", "Half whole."),
        ("sse-odd", "Grüße 漢字 😀 \N{LINE SEPARATOR}Ende👨\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"),
        ("sse-surrogates", "Hi 😀 there."),
        ("stream-ignored", "A whole JSON answer."),
        ("usage-late", "Answer"),
    ],
)
async def test_what_is_an_answer_is_taken_for_one(turns: Turns, model: str, text: str) -> None:
    async with turns.open(model_id=f"openai/{model}") as turn:
        seen = await ask(turn, stream_options={"include_usage": True})

    assert (turn.session.failure, seen.text, seen.finishes, seen.is_over) == (None, text, ["stop"], True)
    assert turn.steps.done.usage.input_tokens == 100
    told = "".join(
        choice["delta"].get("content") or ""
        for event in turn.steps.done.response["events"]
        for choice in event["choices"]
    )
    assert told == text


async def test_a_character_that_cannot_be_stored_is_seen_by_nobody(turns: Turns) -> None:
    async with turns.open(model_id="openai/k-nul") as turn:
        seen = await ask(turn)

    assert seen.text == "Hi \N{REPLACEMENT CHARACTER}x "
    assert "\0" not in json.dumps(turn.steps.done.response, ensure_ascii=False)


async def test_arguments_that_were_cut_off_are_told_as_they_came_and_sent_back_as_json(
    turns: Turns, provider_bodies: Replay
) -> None:
    async with turns.open(model_id="openai/relabelled") as turn:
        seen = await ask(turn)
        then = await ask(turn, *results(seen))

    assert seen.calls[0]["function"]["arguments"] == '{"a": 2, "b'
    assert (then.status, then.text) == (200, "Final answer.")
    (sent,) = provider_bodies.log[-1].body["messages"][1]["tool_calls"]
    assert json.loads(sent["function"]["arguments"]) == {"not_json": '{"a": 2, "b'}


@pytest.mark.parametrize("model", ["deepseek-v4-pro", "gemini-3-pro"])
async def test_fields_that_the_framework_drops_go_back_also_after_a_kill(turns: Turns, model: str) -> None:
    assert named(model).check is not None
    async with turns.open(model_id=f"openai/{model}") as first:
        seen = await ask(first)
        within = await ask(first, *results(seen))
    recorded = [step for step in first.steps.steps if step.ordinal == 1]

    async with turns.open(model_id=f"openai/{model}", recorded=recorded, marker=first.marker) as second:
        after = await ask(second, *results(seen))

    assert [within.text, after.text] == ["Final answer."] * 2
    assert [step.status for step in second.steps.steps] == [StepStatus.DONE] * 2


async def test_fields_go_back_also_where_the_framework_gives_calls_other_ids(turns: Turns) -> None:
    async with turns.open(model_id="openai/gemini-3-pro") as turn:
        seen = await ask(turn)
        seen.calls[0]["id"] = "call_another"
        then = await ask(turn, *results(seen))

    assert then.text == "Final answer."


async def test_an_answer_that_ended_in_an_error_has_failed(turns: Turns) -> None:
    async with turns.open(model_id="openai/or-finish-error") as turn:
        broken = await ask(turn)
        failure = turn.session.failure
        again = await ask(turn)

    assert isinstance(failure, ModelFailure)
    assert failure.code == "model_failed"
    assert failure.retryable
    assert "error" in broken.events[-1]
    assert again.text == "Final answer."
    assert [step.status for step in turn.steps.steps] == [StepStatus.FAILED, StepStatus.DONE]


@pytest.mark.parametrize(
    ("model", "output", "cost"),
    [("usage-thoughts", 3999, None), ("gpt-5.4-mini", 3999, 0.02360325), ("gemini-3-pro", 205, None)],
)
async def test_thoughts_that_are_in_the_total_only_are_counted(
    turns: Turns, model: str, output: int, cost: float | None
) -> None:
    async with turns.open(model_id=f"openai/{model}") as turn:
        await ask(turn)

    used = turn.steps.done.usage
    assert used.output_tokens == output
    assert used.reasoning_tokens > 0
    assert used.cost_usd == cost


async def test_what_a_cache_keeps_for_an_hour_has_its_own_price(turns: Turns) -> None:
    turns.wire = Wire.ANTHROPIC
    endpoint = ModelEndpoint("https://api.anthropic.com", KEY, Wire.ANTHROPIC, "claude-sonnet-4-5", "anthropic")
    async with turns.open(model_id="anthropic/a-cache-usage") as turn:
        await ask(turn)

    tokens = MessagesWire().tokens(turn.steps.done.response["events"][0]["message"])
    assert (tokens.input, tokens.cached, tokens.cache_written_for_hour) == (5010, 3000, 1500)
    assert usage(tokens, endpoint).cost_usd == pytest.approx((10 * 3 + 3000 * 0.3 + 500 * 3.75 + 1500 * 6 + 15) / 1e6)


async def test_thoughts_without_a_word_are_paid_once_and_named(turns: Turns, provider_bodies: Replay) -> None:
    async with turns.open(model_id="openai/reasoning-only") as turn:
        await ask(turn)

    assert turn.session.failure is not None
    assert turn.session.failure.code == "model_answer_empty"
    assert not turn.session.failure.retryable
    assert len(provider_bodies.log) == 1


def in_one_body(text: str, reason: str) -> web.Response:
    """A message of two blocks, or of one, that comes whole."""
    query: dict[str, Any] = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}
    content = [{"type": "text", "text": text}, *([query] if reason == "pause_turn" else [])]
    usage = {"input_tokens": 5, "output_tokens": 2}
    message = {"type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": reason}
    return web.json_response({**message, "id": "m1", "stop_sequence": None, "usage": usage})


def in_events(text: str, reason: str) -> web.Response:
    """The same message as a stream."""
    whole = json.loads(in_one_body(text, reason).body or b"")  # pyright: ignore[reportArgumentType]
    body = MessagesWire().stream(MessagesWire().streamed(whole))
    return web.Response(body=body, content_type="text/event-stream")


@pytest.mark.parametrize("first", [in_one_body, in_events])
@pytest.mark.parametrize("second", [in_one_body, in_events])
async def test_a_paused_answer_is_gone_on_with_however_its_parts_come(
    model: ModelServer, first: Part, second: Part
) -> None:
    asked: list[Any] = []

    async def provider(request: web.Request) -> web.StreamResponse:
        asked.append((await request.json())["messages"])
        return second("Found it.", "end_turn") if len(asked) > 1 else first("I will search. ", "pause_turn")

    async with served(provider) as url, gateway_to(url) as gateway:
        turns = Turns(gateway, model, Wire.ANTHROPIC)
        async with turns.open() as turn:
            seen = await ask(turn)
        async with turns.open(recorded=turn.steps.steps, marker=turn.marker) as again:
            replayed = await ask(again)

    frame = ["message_start", "message_delta", "message_stop"]
    assert told(seen) == told(replayed) == (frame, [0, 1, 2], "I will search. Found it.")
    assert len(asked) == 2
    assert [block["type"] for block in asked[1][-1]["content"]] == ["text", "server_tool_use"]
    assert turn.steps.usage.model_calls == 2


def told(seen: Seen) -> tuple[list[str], list[int], str]:
    """Of messages: the types of the events that frame them, the places of the blocks, the text."""
    frame = [event["type"] for event in seen.events if event["type"].startswith("message_")]
    places = [event["index"] for event in seen.events if event["type"] == "content_block_start"]
    deltas = [event["delta"] for event in seen.events if event["type"] == "content_block_delta"]
    return frame, places, "".join(delta.get("text", "") for delta in deltas)


async def test_a_paused_answer_is_gone_on_with_part_by_part(turns: Turns, provider_bodies: Replay) -> None:
    turns.wire, model = Wire.ANTHROPIC, "anthropic/a-pause-turn"
    async with turns.open(model_id=model) as first:
        seen = await ask(first)
    async with turns.open(model_id=model, recorded=first.steps.steps, marker=first.marker) as second:
        replayed = await ask(second)
    parts = len(provider_bodies.log)
    async with turns.open(model_id=model, recorded=first.steps.steps[:1], marker=first.marker) as third:
        resumed = await ask(third)

    frame = ["message_start", "message_delta", "message_stop"]
    assert told(seen) == told(replayed) == told(resumed) == (frame, [0, 1, 2], "I will search. Found it.")
    assert [step.status for step in first.steps.steps] == [StepStatus.DONE] * 2
    assert second.steps.writes == []
    assert (parts, len(provider_bodies.log)) == (2, 3)
    said = provider_bodies.log[1].body["messages"][-1]
    assert [block["type"] for block in said["content"]] == ["text", "server_tool_use"]
    assert said["content"][1]["input"] == {"query": "x"}
