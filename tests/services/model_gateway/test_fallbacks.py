"""Other models answer where the agent's own cannot."""

from collections.abc import AsyncIterator

import openai
import pytest

from runtimes.errors import ModelAuthentication, ModelOverloaded, ModelRateLimited
from runtimes.types import Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.breaker import BreakerLimits, Breakers
from services.model_gateway.policy import ModelPolicy, ModelRetries
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.runtimes.model_server import ModelServer
from tests.services.model_gateway.gateways import KEY, Turns, model_steps
from tests.services.model_gateway.odd_provider import JSON, Odd, odd_provider
from tests.services.model_gateway.test_failures import failing

ONCE = ModelRetries(attempts=1)


@pytest.fixture
async def odd() -> AsyncIterator[Odd]:
    async with odd_provider() as odd:
        odd.content_type = JSON
        yield odd


@pytest.fixture
async def failing_first(odd: Odd, model: ModelServer) -> AsyncIterator[Turns]:
    """Turns whose provider `odd` fails; the breaker opens after three failures."""
    providers = [Provider("odd", f"{odd.url}/v1", KEY), Provider("openai", f"{model.url}/v1", KEY)]
    gateway = ModelGateway(ProviderRegistry(providers), Breakers(BreakerLimits(failures=3)))
    await gateway.start()
    yield Turns(gateway, model, Wire.OPENAI)
    await gateway.close()


@pytest.mark.parametrize("status", [500, 529, 429, 404, 402])
async def test_a_model_that_cannot_answer_is_stood_in_for(
    failing_first: Turns, odd: Odd, stream: bool, status: int
) -> None:
    odd.status = status
    policy = ModelPolicy(model_fallbacks=["openai/second"], model_retries=ONCE)

    async with failing_first.open(model_id="odd/first", policy=policy) as turn:
        answer = await turn.ask("[[say hi]]", stream=stream)

    (call,) = await failing_first.calls(turn)
    assert answer.text == "hi"
    assert (len(odd.bodies), call["model"]) == (1, "second")
    assert turn.session.failure is None
    assert turn.session.model == "second"
    assert [(step.status, step.name) for step in turn.steps.steps] == [
        (StepStatus.FAILED, "first"),
        (StepStatus.DONE, "second"),
    ]


async def test_the_answer_of_a_fallback_is_replayed(failing_first: Turns, odd: Odd) -> None:
    odd.status = 500
    policy = ModelPolicy(model_fallbacks=["openai/second"], model_retries=ONCE)
    async with failing_first.open(model_id="odd/first", policy=policy) as first:
        original = await first.ask("[[say hi]]", stream=True)

    async with failing_first.open(
        model_id="odd/first", policy=policy, recorded=first.steps.steps, marker=first.marker
    ) as second:
        replayed = await second.ask("[[say hi]]", stream=True)

    assert replayed.message == original.message
    assert len(odd.bodies) == 1
    assert len(await failing_first.calls(first)) == 1


@pytest.mark.parametrize("status", [400, 401])
async def test_what_another_model_would_refuse_too_is_told(failing_first: Turns, odd: Odd, status: int) -> None:
    odd.status = status
    policy = ModelPolicy(model_fallbacks=["openai/second"], model_retries=ONCE)

    async with failing_first.open(model_id="odd/first", policy=policy) as turn:
        await failing(turn, "[[say hi]]", stream=False)

    assert await failing_first.calls(turn) == []
    assert isinstance(turn.session.failure, ModelAuthentication) is (status == 401)


async def test_nobody_waits_long_where_another_model_can_be_asked(failing_first: Turns, odd: Odd) -> None:
    odd.status, odd.headers = 429, {"retry-after": "30"}
    policy = ModelPolicy(model_fallbacks=["openai/second"])

    async with failing_first.open(model_id="odd/first", policy=policy) as turn:
        await turn.ask("[[say hi]]")

    assert len(odd.bodies) == 1


async def test_when_all_fail_the_last_failure_is_told(failing_first: Turns, odd: Odd) -> None:
    odd.status = 500
    policy = ModelPolicy(model_fallbacks=["openai/second"], model_retries=ONCE)

    async with failing_first.open(model_id="odd/first", policy=policy) as turn:
        await failing(turn, "[[error 429]]", stream=False)

    assert isinstance(turn.session.failure, ModelRateLimited)


async def test_a_provider_that_is_down_is_left_alone(failing_first: Turns, odd: Odd) -> None:
    odd.status = 503

    async with failing_first.open(model_id="odd/first") as turn:
        await failing(turn, "[[say hi]]", stream=False)
        with pytest.raises(openai.InternalServerError, match="left alone"):
            await turn.ask("[[say hi]]")

    assert isinstance(turn.session.failure, ModelOverloaded)
    assert len(odd.bodies) == 3
    assert model_steps(turn.steps) == [(StepStatus.FAILED, 1)] * 3


async def test_errors_of_the_request_do_not_open_the_breaker(failing_first: Turns, odd: Odd) -> None:
    odd.status = 400

    async with failing_first.open(model_id="odd/first") as turn:
        for _ in range(5):
            await failing(turn, "[[say hi]]", stream=False)

    assert len(odd.bodies) == 5


async def test_another_model_is_asked_once_the_first_has_said_nothing_as_often_as_it_may(
    failing_first: Turns, odd: Odd
) -> None:
    odd.answer = b'{"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}'
    policy = ModelPolicy(model_fallbacks=["openai/scripted-2"])

    async with failing_first.open(model_id="odd/a", policy=policy) as turn:
        answer = await turn.ask("[[say hello]]")

    assert answer.text == "hello"
    assert len(odd.bodies) == 3


async def test_thoughts_without_a_word_are_paid_once_whatever_else_could_be_asked(
    failing_first: Turns, odd: Odd
) -> None:
    said = '{"role": "assistant", "content": "", "reasoning_content": "Hm."}'
    odd.answer = f'{{"choices": [{{"message": {said}, "finish_reason": "stop"}}]}}'.encode()
    policy = ModelPolicy(model_fallbacks=["openai/scripted-2"])

    async with failing_first.open(model_id="odd/a", policy=policy) as turn:
        with pytest.raises(openai.APIStatusError):
            await turn.ask("[[say hello]]")

    assert len(odd.bodies) == 1
