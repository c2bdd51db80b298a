"""The end of an answer is seen when, and only when, its step is stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from anthropic import AnthropicError
from openai import OpenAIError

from runtimes.errors import AttemptFenced, ControlPlaneUnavailable
from services.control_plane_client.models import AppendEvents, AttemptEnd, CloseAttempt, NewEvent, Step, StepStatus
from services.event_publisher import EventPublisher
from services.model_gateway.claims import CLAIM_AFTER_SECONDS
from tests.services.model_gateway.gateways import Steps, Turn, Turns, model_steps

SDK_ERRORS = (OpenAIError, AnthropicError)


@dataclass(slots=True)
class Heard:
    """The bytes of a stream as they come."""

    text: str = ""
    is_over: bool = False
    grew: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, part: str) -> None:
        while part not in self.text:
            self.grew.clear()
            await asyncio.wait_for(self.grew.wait(), 5)


async def listen(turn: Turn, script: str, heard: Heard) -> None:
    async for piece in pieces(turn, script):
        heard.text += piece.decode()
        heard.grew.set()
    heard.is_over = True


async def pieces(turn: Turn, script: str) -> AsyncIterator[bytes]:
    endpoint, is_chat = turn.endpoint, turn.endpoint.wire == "openai"
    messages = [{"role": "user", "content": f"{turn.marker} {script}"}]
    body: dict[str, Any] = {"model": endpoint.model, "messages": messages, "stream": True, "max_tokens": 100}
    headers = {"authorization": f"Bearer {endpoint.api_key}"}
    url = f"{endpoint.base_url}{'/chat/completions' if is_chat else '/v1/messages?beta=true'}"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        assert response.status == 200
        async for piece in response.content.iter_any():
            yield piece


@pytest.mark.parametrize("script", ["[[say almost there]]", '[[say almost there;; tool lookup {"q": 1} && lookup {}]]'])
async def test_the_end_is_held_back_until_it_is_stored(turns: Turns, script: str) -> None:
    gate, steps, heard = asyncio.Event(), Steps(), Heard()
    steps.before[StepStatus.DONE] = gate.wait

    async with turns.open(steps=steps) as turn, asyncio.timeout(10):
        listening = asyncio.create_task(listen(turn, script, heard))
        await heard.until("there")
        await turns.calls(turn, until="completed")
        await asyncio.sleep(0.1)
        before = heard.text
        gate.set()
        await listening

    assert ends(before) == []
    assert set(ends(heard.text)) >= {"message_stop"} or "[DONE]" in ends(heard.text)
    assert heard.text.startswith(before)


async def test_a_whole_answer_is_held_back_as_well(turns: Turns) -> None:
    gate, steps = asyncio.Event(), Steps()
    steps.before[StepStatus.DONE] = gate.wait

    async with turns.open(steps=steps) as turn, asyncio.timeout(10):
        asking = asyncio.create_task(turn.ask("[[say hi]]"))
        await turns.calls(turn, until="completed")
        await asyncio.sleep(0.1)
        was_answered = asking.done()
        gate.set()
        answer = await asking

    assert not was_answered
    assert answer.text == "hi"


@pytest.mark.parametrize("failure", [AttemptFenced("newer"), ControlPlaneUnavailable("away")])
async def test_what_cannot_be_stored_is_never_seen(
    turns: Turns, stream: bool, failure: AttemptFenced | ControlPlaneUnavailable
) -> None:
    steps = Steps()

    async def refuse() -> None:
        raise failure

    steps.before[StepStatus.DONE] = refuse

    async with turns.open(steps=steps) as turn:
        with pytest.raises(SDK_ERRORS):
            await turn.ask("[[say hi]]", stream=stream)

    assert turn.control.failure is failure
    assert turn.session.failure is failure
    assert len(await turns.calls(turn)) == 1


async def test_a_stream_that_cannot_be_stored_has_no_end(turns: Turns) -> None:
    steps, heard = Steps(), Heard()

    async def refuse() -> None:
        raise AttemptFenced("newer")

    steps.before[StepStatus.DONE] = refuse

    async with turns.open(steps=steps) as turn:
        with pytest.raises(aiohttp.ClientPayloadError):
            await listen(turn, "[[say hi]]", heard)

    assert "hi" in heard.text
    assert ends(heard.text) == []
    assert '"error"' in heard.text


async def test_a_quick_call_is_written_once(turns: Turns) -> None:
    async with turns.open() as turn:
        await turn.ask("[[say hi]]")

    assert [step.status for step in turn.steps.writes] == [StepStatus.DONE]


async def test_a_slow_call_is_claimed_while_it_lasts(turns: Turns, stream: bool) -> None:
    async with turns.open() as turn:
        await turn.ask(f"[[wait {CLAIM_AFTER_SECONDS * 4};; say hi]]", stream=stream)

    claim, done = turn.steps.writes
    assert (claim.status, done.status) == (StepStatus.CLAIMED, StepStatus.DONE)
    assert claim.ordinal == done.ordinal
    assert claim.request["body"]["model"] == "scripted-1"
    assert done.request is None
    assert model_steps(turn.steps) == [(StepStatus.DONE, 1)]


class HeldSteps(Steps):
    """Steps on the way of a real attempt, to a control plane that is away until the gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.publisher = EventPublisher(
            self, organization_id="o", execution_id="e", attempt=1, interval=0.01, failed=lambda _: None
        )

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        await self.publisher.write(step, events, used=used)

    async def append(self, execution_id: str, attempt: int, request: AppendEvents) -> None:
        await self.gate.wait()
        for step in request.steps:
            await super().write(step)


async def test_an_answer_is_stored_after_its_claim_though_the_attempt_ends_meanwhile(turns: Turns) -> None:
    steps = HeldSteps()

    async with turns.open(steps=steps) as turn, asyncio.timeout(20):
        asking = asyncio.create_task(turn.ask("[[wait 0.3;; say hi]]"))
        await turns.calls(turn, until="completed")
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(steps.publisher.close(_close))
        await asyncio.sleep(0.1)
        written = list(steps.writes)
        steps.gate.set()
        await asyncio.gather(closing, asking)

    assert written == []
    assert [step.status for step in steps.writes] == [StepStatus.CLAIMED, StepStatus.DONE]


async def test_an_answer_is_stored_after_its_claim_though_the_session_ends_meanwhile(turns: Turns) -> None:
    steps = HeldSteps()

    async with turns.open(steps=steps) as turn:
        asking = asyncio.create_task(turn.ask("[[wait 0.3;; say hi]]"))
        await turns.calls(turn, until="completed")
        await asyncio.sleep(0.1)
    steps.gate.set()
    await steps.publisher.close(_close)
    await asyncio.gather(asking, return_exceptions=True)

    assert [step.status for step in steps.writes] == [StepStatus.CLAIMED, StepStatus.DONE]


def _close(batch: int, events: list[NewEvent]) -> CloseAttempt:
    return CloseAttempt(organization_id="o", batch=batch, end=AttemptEnd.PREEMPTED, events=events)


def ends(text: str) -> list[str]:
    """The marks of an answer's end that a text has."""
    marks = ("message_stop", "message_delta", "[DONE]", '"finish_reason":"', '"stop_reason":"')
    return [mark for mark in marks if mark in text]
