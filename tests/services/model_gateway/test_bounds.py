"""Answers without an end, without a newline, or that unpack to many times their size: bounded, and told."""

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from runtimes.types import Wire
from services.control_plane_client.models import LARGEST_ANSWER
from services.model_gateway.bounds import REFUSAL_BYTES, STREAM_BYTES, WHOLE_BYTES
from services.model_gateway.policy import ModelPolicy, ModelRetries
from services.model_gateway.server import ModelGateway
from services.model_gateway.wires.chat import ChatWire
from services.model_gateway.wires.messages import MessagesWire
from services.model_gateway.wires.responses import ResponsesWire
from services.model_gateway.wires.wire import ModelWire
from services.providers import Provider, ProviderRegistry
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import KEY, Turn, Turns
from tests.services.model_gateway.odd_provider import EVENTS, JSON, served

ONCE = ModelPolicy(model_retries=ModelRetries(attempts=1))
PIECE = 64 * 1024
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}


@dataclass(slots=True)
class Flood:
    """Says a beginning and then one piece again and again, until nobody listens."""

    piece: bytes = b"x" * PIECE
    begin: bytes = b""
    end: bytes = b""
    content_type: str = EVENTS
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    most: int = 2 * STREAM_BYTES
    sent: int = 0
    asked: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked, self.sent = self.asked + 1, 0
        response = web.StreamResponse(status=self.status, headers={"content-type": self.content_type, **self.headers})
        await response.prepare(request)
        await response.write(self.begin)
        try:
            while self.sent < self.most:
                await response.write(self.piece)
                self.sent += len(self.piece)
            await response.write(self.end)
        except ConnectionError:
            pass
        return response


@pytest.fixture
def flood() -> Flood:
    return Flood()


@pytest.fixture
async def turns(flood: Flood, model: ModelServer) -> AsyncIterator[Turns]:
    async with served(flood.handle) as url:
        gateway = ModelGateway(ProviderRegistry([Provider("openai", f"{url}/v1", KEY)]))
        await gateway.start()
        yield Turns(gateway, model, Wire.OPENAI)
        await gateway.close()


async def asked(turn: Turn, *, stream: bool) -> tuple[int, str]:
    """Status and text of an answer."""
    body = {"model": turn.endpoint.model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    headers = {"authorization": f"Bearer {turn.endpoint.api_key}"}
    url = f"{turn.endpoint.base_url}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        return response.status, await response.text()


def packed_zeros(megabytes: int) -> bytes:
    """Pack one event that unpacks to so many."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(b"data: "), *(packer.compress(bytes(1024 * 1024)) for _ in range(megabytes))]
    return b"".join((*pieces, packer.flush()))


async def longest_pause(stop: asyncio.Event) -> float:
    """The longest time for which nobody else had a turn."""
    longest, before = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(0.005)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    return longest


@pytest.mark.parametrize("begin", [b"data: ", b": "])
async def test_a_stream_without_newlines_is_read_once_and_ended(turns: Turns, flood: Flood, begin: bytes) -> None:
    flood.begin = begin
    stop = asyncio.Event()
    watching = asyncio.create_task(longest_pause(stop))
    began = time.monotonic()

    async with turns.open(policy=ONCE) as turn:
        status, _ = await asked(turn, stream=True)
    stop.set()

    assert (status, turn.session.failure and turn.session.failure.code) == (500, "model_answer_too_large")
    assert time.monotonic() - began < 15
    assert await watching < 1


async def test_a_whole_answer_without_an_end_is_ended_and_not_asked_for_again(turns: Turns, flood: Flood) -> None:
    flood.content_type, flood.begin, flood.piece = JSON, b"[", b" " * PIECE

    async with turns.open() as turn:
        status, _ = await asked(turn, stream=False)

    (step,) = turn.steps.steps
    assert status == 500
    assert step.error is not None
    assert (step.error.code, step.error.retryable) == ("model_answer_too_large", False)
    assert f"larger than {WHOLE_BYTES} bytes" in step.error.message
    assert step.usage.cost_usd is None
    assert flood.asked == 1
    assert flood.sent < 2 * WHOLE_BYTES


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_the_journal_does_not_take_is_refused_at_the_gateway(
    turns: Turns, flood: Flood, stream: bool
) -> None:
    long = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "x" * PIECE}, "finish_reason": None}]}
    flood.piece = f"data: {json.dumps(long)}\n\n".encode() if stream else b" " * PIECE
    flood.begin, flood.content_type = (b"", EVENTS) if stream else (json.dumps(ANSWER).encode(), JSON)
    end: dict[str, Any] = {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    flood.most, flood.end = LARGEST_ANSWER, f"data: {json.dumps(end)}\n\n".encode()

    async with turns.open() as turn:
        with suppress(aiohttp.ClientPayloadError):
            await asked(turn, stream=stream)

    (step,) = turn.steps.steps
    assert step.error is not None
    assert step.error.code == "model_answer_too_large"
    assert flood.asked == 1


@pytest.mark.parametrize(("status", "code"), [(401, "model_authentication"), (400, "model_request_rejected")])
async def test_a_refusal_without_an_end_is_judged_by_its_status(
    turns: Turns, flood: Flood, status: int, code: str
) -> None:
    flood.status, flood.content_type = status, "text/plain"

    async with turns.open() as turn:
        await asked(turn, stream=True)

    assert turn.session.failure is not None
    assert turn.session.failure.code == code
    assert flood.sent < 100 * REFUSAL_BYTES


@pytest.mark.parametrize("stream", [True, False])
async def test_what_unpacks_to_hundreds_of_megabytes_is_not_unpacked(turns: Turns, flood: Flood, stream: bool) -> None:
    flood.piece = packed_zeros(200)
    flood.most, flood.headers = 1, {"content-encoding": "gzip"}
    flood.content_type = EVENTS if stream else JSON

    async with turns.open(policy=ONCE) as turn:
        status, _ = await asked(turn, stream=stream)

    assert status == 500
    assert turn.session.failure is not None
    assert turn.session.failure.code == "model_answer_too_large"
    assert len(flood.piece) < 1_000_000


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_may_be_packed_though_nobody_asked_for_it(
    turns: Turns, flood: Flood, stream: bool, coding: str, pack: Any
) -> None:
    chunk = {**CHUNK, "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    told = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n" if stream else json.dumps(ANSWER)
    flood.piece, flood.most, flood.headers = pack(told.encode()), 1, {"content-encoding": coding}
    flood.content_type = EVENTS if stream else JSON

    async with turns.open() as turn:
        status, text = await asked(turn, stream=stream)

    assert (status, '"hi"' in text) == (200, True)


@pytest.mark.parametrize("coding", ["br", "gzip"])
async def test_what_cannot_be_unpacked_is_told(turns: Turns, flood: Flood, coding: str) -> None:
    flood.piece, flood.most, flood.headers = b"not packed at all", 1, {"content-encoding": coding}

    async with turns.open() as turn:
        status, text = await asked(turn, stream=False)

    assert status == 500
    assert "packed" in text


def deltas(wire: ModelWire, text: str) -> dict[str, Any]:
    """A piece of a text on a wire."""
    if isinstance(wire, ChatWire):
        return {**CHUNK, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    if isinstance(wire, MessagesWire):
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": text}


@pytest.mark.parametrize("wire", [ChatWire(), MessagesWire(), ResponsesWire()])
def test_a_long_text_is_recorded_in_a_time_that_grows_with_its_length(wire: ModelWire) -> None:
    recording = wire.recording({})
    began = time.monotonic()

    for _ in range(100_000):
        recording.add(deltas(wire, "x" * 100))

    assert time.monotonic() - began < 20
    assert 100 < len(recording.events) < 1000
