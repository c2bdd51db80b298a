"""The refusals of real providers: each has its code, its number of calls and the provider's own reason."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from runtimes.types import Wire
from services.model_gateway.policy import ModelPolicy, ModelRetries
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.provider_bodies.body import named
from tests.provider_bodies.replay import Replay
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import KEY, Turn, Turns, model_steps
from tests.services.model_gateway.test_failures import SDK_ERRORS

UPSTREAM = "Provider returned error: m is temporarily rate-limited upstream. Please retry shortly."
CREDIT = "Your credit balance is too low to access the Anthropic API."
IMPATIENT = ModelPolicy(model_retries=ModelRetries(max_wait_seconds=10))


@pytest.fixture
async def gateway(provider_bodies: Replay, model: ModelServer) -> AsyncIterator[ModelGateway]:
    providers = [
        Provider("openai", f"{provider_bodies.url}/v1", KEY),
        Provider("anthropic", provider_bodies.url, KEY, Wire.ANTHROPIC),
        Provider("second", model.url, KEY, Wire.ANTHROPIC),
    ]
    gateway = ModelGateway(ProviderRegistry(providers))
    await gateway.start()
    yield gateway
    await gateway.close()


@dataclass(frozen=True, slots=True)
class Expected:
    """The outcome of a body: an answer where there is no `code`; `base_url` may be the remedy only of some."""

    calls: int
    code: str = ""
    reason: str = ""
    stream: bool = True


EXPECTED = {
    "or-sse-401": Expected(
        1, "model_authentication", "(401), model 'or-sse-401' of provider 'openai': User not found."
    ),
    "or-sse-400": Expected(1, "model_request_rejected", ": tools[0].function.name is invalid"),
    "or-200-json-error": Expected(
        3, "model_rate_limited", ": Provider returned error: rate-limited upstream", stream=False
    ),
    "or-error-first": Expected(3, "model_rate_limited", UPSTREAM),
    "or-error-mid": Expected(
        1, "model_failed", "(502), model 'or-error-mid' of provider 'openai': Provider disconnected"
    ),
    "or-403-moderation": Expected(1, "content_refused", 'Your input was flagged for "harassment".'),
    "or-404-tools": Expected(1, "model_not_found", ": No endpoints found that support tool use."),
    "ollama-400-string": Expected(1, "model_request_rejected", "gemma3:4b does not support tools"),
    "ollama-400-tools": Expected(1, "model_request_rejected", "gemma3:4b does not support tools"),
    "groq-tool-use-failed": Expected(2),
    "bedrock-too-long": Expected(1, "context_too_long", ": Input is too long for requested model."),
    "503-html": Expected(2),
    "json-429": Expected(2),
    "a-529": Expected(2),
    "a-error-first": Expected(2),
    "a-error-mid": Expected(1, "model_overloaded", ": Overloaded"),
    "a-credit": Expected(1, "model_quota_exhausted", f": {CREDIT}"),
    "a-context-limit": Expected(1, "context_too_long", ": input length and `max_tokens` exceed context limit"),
}


async def answers(turn: Turn, *, stream: bool) -> bool:
    """Whether the model answers."""
    try:
        await turn.ask("hi", stream=stream)
    except SDK_ERRORS:
        return False
    return True


@pytest.mark.parametrize("name", EXPECTED)
async def test_each_refusal_has_its_code_its_calls_and_its_reason(
    gateway: ModelGateway, model: ModelServer, provider_bodies: Replay, name: str
) -> None:
    expected, wire = EXPECTED[name], named(name).wire

    async with Turns(gateway, model, wire).open(model_id=f"{wire}/{name}") as turn:
        is_answered = await answers(turn, stream=expected.stream)

    failure = turn.session.failure
    code, message, hint = (failure.code, failure.message, failure.hint) if failure else ("", "", "")
    assert len(provider_bodies.log) == len(turn.steps.steps) == expected.calls
    assert (code, is_answered) == (expected.code, not expected.code)
    assert expected.reason in message
    assert ("base_url" in hint) == (code == "model_not_found")


async def test_what_a_provider_says_at_last_is_told_in_its_words(
    gateway: ModelGateway, model: ModelServer, provider_bodies: Replay
) -> None:
    once = ModelPolicy(model_retries=ModelRetries(attempts=1))
    told: dict[str, str] = {}
    for name in ("503-html", "json-429", "a-529", "a-error-first", "groq-tool-use-failed"):
        async with Turns(gateway, model, named(name).wire).open(
            model_id=f"{named(name).wire}/{name}", policy=once
        ) as turn:
            assert not await answers(turn, stream=True)
            failure = turn.session.failure
            told[name] = f"{failure.code}: {failure.message.rpartition(': ')[2]}" if failure else ""

    assert told == {
        "503-html": "model_overloaded: 503 Service Temporarily Unavailable",
        "json-429": "model_rate_limited: Provider returned error",
        "a-529": "model_overloaded: Overloaded",
        "a-error-first": "model_overloaded: Overloaded",
        "groq-tool-use-failed": "model_answer_invalid: Failed to call a function. Please adjust your prompt."
        " See 'failed_generation' for more details.",
    }


async def test_a_quota_worded_as_a_bad_request_asks_the_next_model(
    gateway: ModelGateway, model: ModelServer, provider_bodies: Replay
) -> None:
    policy = ModelPolicy(model_fallbacks=["second/other"])

    async with Turns(gateway, model, Wire.ANTHROPIC).open(model_id="anthropic/a-credit", policy=policy) as turn:
        answer = await turn.ask("[[say from the other]]")

    assert answer.text == "from the other"
    assert len(provider_bodies.log) == 1
    assert [calls for _, calls in model_steps(turn.steps)] == [1, 1]


async def test_a_delay_in_the_body_is_waited_for_or_passed_on(
    gateway: ModelGateway, model: ModelServer, provider_bodies: Replay
) -> None:
    async with Turns(gateway, model, Wire.OPENAI).open(model_id="openai/gemini-429-body", policy=IMPATIENT) as turn:
        assert not await answers(turn, stream=True)

    assert turn.session.failure is not None
    assert (turn.session.failure.code, turn.session.failure.retry_after) == ("model_rate_limited", 20)
    assert len(provider_bodies.log) == 1
