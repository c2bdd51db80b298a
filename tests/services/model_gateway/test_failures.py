"""What providers do wrong, and what becomes of it: one typed failure, retried in one place."""

import time
from typing import Any

import anthropic
import openai
import pytest

from runtimes.errors import (
    ContentRefused,
    ContextTooLong,
    ModelAnswerInvalid,
    ModelAuthentication,
    ModelConnectionBroken,
    ModelFailure,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
)
from services.control_plane_client.models import StepStatus
from services.model_gateway.errors import ModelUnreachable
from services.model_gateway.policy import ModelPolicy, ModelRetries, ModelTimeouts
from tests.services.model_gateway.gateways import KEY, Turn, Turns, model_steps

SDK_ERRORS = (openai.OpenAIError, anthropic.AnthropicError)
IMPATIENT = ModelPolicy(model_timeouts=ModelTimeouts(first_byte_seconds=0.3, idle_seconds=0.3))
ONCE = ModelPolicy(model_retries=ModelRetries(attempts=1))


async def failing(turn: Turn, script: str, *, stream: bool) -> Any:
    """The SDK's exception."""
    with pytest.raises(SDK_ERRORS) as raised:
        await turn.ask(script, stream=stream)
    return raised.value


@pytest.mark.parametrize(
    ("direction", "failure", "calls", "status"),
    [
        ("error 400", ModelRequestRejected, 1, 400),
        ("error 401", ModelAuthentication, 1, 401),
        ("error 403", ModelAuthentication, 1, 401),
        ("error 402", ModelQuotaExhausted, 1, 402),
        ("error 404", ModelNotFound, 1, 404),
        ("error 413", ContextTooLong, 1, 400),
        ("context-too-long", ContextTooLong, 1, 400),
        ("error 429", ModelRateLimited, 3, 429),
        ("error 500", ModelFailure, 3, 500),
        ("error 503", ModelOverloaded, 3, None),
        ("error 529", ModelOverloaded, 3, None),
        ("html", ModelAnswerInvalid, 3, 500),
        ("garbage", ModelAnswerInvalid, 3, 500),
        ("drop", ModelConnectionBroken, 3, 502),
        ("stream-error", ModelFailure, 3, 500),
        ("hang", ModelTimeout, 3, 504),
    ],
)
async def test_each_failure_has_its_type(
    turns: Turns, stream: bool, direction: str, failure: type[ModelFailure], calls: int, status: int | None
) -> None:
    async with turns.open(policy=IMPATIENT) as turn:
        error = await failing(turn, f"[[{direction}]]", stream=stream)

    assert type(turn.session.failure) is failure
    assert error.status_code == status or status is None
    assert error.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in error.response.headers
    assert len(await turns.calls(turn)) == calls
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 1)] * calls
    assert {step.error.code for step in turn.steps.steps if step.error} == {failure.code}
    assert turn.control.failure is None


@pytest.mark.parametrize(
    ("direction", "failure"),
    [
        ("drop", ModelConnectionBroken),
        ("hang", ModelTimeout),
        ("stream-error", ModelFailure),
        ("error 529", ModelFailure),
        ("error 429", ModelRateLimited),
    ],
)
async def test_what_was_passed_on_is_not_asked_for_again(
    turns: Turns, direction: str, failure: type[ModelFailure]
) -> None:
    async with turns.open(policy=IMPATIENT) as turn:
        await failing(turn, f"[[say It began well;; wait 0.05;; {direction}]]", stream=True)

    assert isinstance(turn.session.failure, failure)
    assert len(await turns.calls(turn)) == 1
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 1)]


async def test_a_call_is_made_again_until_it_works(turns: Turns, stream: bool) -> None:
    async with turns.open() as turn:
        answer = await turn.ask("[[error 500 times 2;; say At last.]]", stream=stream)

    assert answer.text == "At last."
    assert turn.session.failure is None
    assert [status for status, _ in model_steps(turn.steps)] == [StepStatus.FAILED, StepStatus.FAILED, StepStatus.DONE]
    assert turn.steps.usage.model_calls == len(await turns.calls(turn)) == 3


async def test_a_provider_is_given_the_time_that_it_asks_for(turns: Turns) -> None:
    began = time.monotonic()

    async with turns.open() as turn:
        await turn.ask("[[error 429 retry-after 1 times 1;; say hi]]")

    assert time.monotonic() - began >= 1


async def test_nobody_waits_for_an_hour(turns: Turns) -> None:
    async with turns.open() as turn:
        await failing(turn, "[[error 429 retry-after 3600]]", stream=False)

    assert turn.session.failure is not None
    assert turn.session.failure.retry_after == 3600
    assert len(await turns.calls(turn)) == 1


async def test_tries_are_as_many_as_the_agent_says(turns: Turns) -> None:
    async with turns.open(policy=ONCE) as turn:
        await failing(turn, "[[error 500]]", stream=False)

    assert len(await turns.calls(turn)) == 1


async def test_a_provider_that_is_not_there_was_not_called(openai_turns: Turns) -> None:
    async with openai_turns.open(model_id="down/any", policy=ONCE) as turn:
        await failing(turn, "hello", stream=False)

    assert isinstance(turn.session.failure, ModelUnreachable)
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 0)]


async def test_quota_is_no_rate_limit(openai_turns: Turns) -> None:
    async with openai_turns.open() as turn:
        await failing(turn, "[[error 429 code insufficient_quota]]", stream=False)
        first = turn.session.failure
        await failing(turn, "[[error 400 code content_policy_violation]]", stream=False)

    assert isinstance(first, ModelQuotaExhausted)
    assert isinstance(turn.session.failure, ContentRefused)


async def test_a_refused_model_is_told_in_the_wires_words(turns: Turns) -> None:
    async with turns.open() as turn:
        with pytest.raises((openai.NotFoundError, anthropic.NotFoundError)) as raised:
            await turn.ask("hi", model="gpt-5.4")

    assert "scripted-1" in str(raised.value)
    assert await turns.calls(turn) == []


async def test_an_overflown_context_is_told_in_words_that_frameworks_know(turns: Turns) -> None:
    async with turns.open() as turn:
        error = await failing(turn, "[[context-too-long]]", stream=False)

    if turns.wire == "openai":
        assert error.code == "context_length_exceeded"
    else:
        assert "prompt is too long" in error.message


async def test_the_key_is_nowhere_to_be_read(turns: Turns, stream: bool) -> None:
    async with turns.open() as turn:
        error = await failing(turn, f"[[say {KEY};; wait 0.05;; nonsense {KEY}]]", stream=stream)

    assert KEY not in f"{error} {error.body} {turn.session.failure}"
    assert KEY not in "".join(str(step.error) for step in turn.steps.steps)
