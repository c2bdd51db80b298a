"""Limits are checked before a call and settled after it."""

import asyncio
from typing import Any

import anthropic
import openai
import pytest

from runtimes.errors import BudgetExceeded, ConfigurationInvalid
from runtimes.types import Usage
from services.budget import Budget, Estimate, Limits
from services.control_plane_client.models import StepStatus
from services.model_gateway.policy import CachePolicy, ModelPolicy, ModelRetries, ModelTimeouts
from services.turn_control import QuestionKind
from tests.services.model_gateway.gateways import Turns, model_steps

FORBIDDEN = (openai.PermissionDeniedError, anthropic.PermissionDeniedError)
#: Models with a price; the scripted model answers for them.
PRICED = {"openai": "openai/gpt-5.4-mini", "anthropic": "anthropic/claude-sonnet-5"}
IMPATIENT = ModelPolicy(
    model_timeouts=ModelTimeouts(first_byte_seconds=1.5, idle_seconds=1.5), model_retries=ModelRetries(attempts=1)
)
CACHED = ModelPolicy(response_cache=CachePolicy(ttl_seconds=60))


class Cache:
    """A cache that remembers what it was asked."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.ttls: list[float] = []

    async def get(self, digest: str) -> Any | None:
        return self.kept.get(digest)

    async def put(self, digest: str, response: Any, ttl: float) -> None:
        self.kept[digest] = response
        self.ttls.append(ttl)


async def test_a_call_beyond_the_limit_is_not_made(turns: Turns, stream: bool) -> None:
    async with turns.open(limits=Limits(model_calls=1)) as turn:
        await turn.ask("[[say hi]]", stream=stream)
        with pytest.raises(FORBIDDEN):
            await turn.ask("[[say hi again]]", stream=stream)

    assert isinstance(turn.control.failure, BudgetExceeded)
    assert turn.session.failure is turn.control.failure
    assert len(await turns.calls(turn)) == 1


async def test_a_call_may_ask_for_more_than_is_left(turns: Turns) -> None:
    async with turns.open(limits=Limits(tokens=10_000)) as turn:
        answer = await turn.ask("[[say hi]]", stream=True, max_tokens=32_000)

    assert answer.text == "hi"


async def test_a_request_that_does_not_fit_is_not_sent(turns: Turns) -> None:
    async with turns.open(limits=Limits(tokens=500)) as turn:
        with pytest.raises(FORBIDDEN):
            await turn.ask(f"[[say hi]] {'long ' * 1000}")

    assert await turns.calls(turn) == []


@pytest.mark.parametrize("beside", [1, 2])
async def test_what_a_call_may_use_is_reserved(turns: Turns, beside: int) -> None:
    asked = 3_500 // beside
    async with turns.open(limits=Limits(tokens=4_000)) as turn:
        calls = [turn.ask("[[wait 0.3;; say hi]]", max_tokens=asked) for _ in range(2)]
        answers = await asyncio.gather(*calls)

    second = max(turn.steps.of(StepStatus.DONE), key=lambda step: step.timings["total"])
    waited = second.timings["total"] - second.timings["provider"]
    assert [answer.text for answer in answers] == ["hi", "hi"]
    assert (waited > 0.25) == (beside == 1)


@pytest.mark.parametrize("used", ["1000 0", "600 400", "200 5000"])
async def test_what_a_call_did_use_is_what_counts(turns: Turns, used: str) -> None:
    async with turns.open(limits=Limits(tokens=1000)) as turn:
        await turn.ask(f"[[say hi;; usage {used}]]", max_tokens=700)
        with pytest.raises(FORBIDDEN):
            await turn.ask("[[say hi]]", max_tokens=1)

    assert isinstance(turn.control.failure, BudgetExceeded)
    assert turn.control.failure.limit == "tokens"


async def test_a_cost_is_reserved_and_counted(turns: Turns) -> None:
    model_id = PRICED[turns.wire]
    async with turns.open(limits=Limits(cost_usd=0.01), model_id=model_id) as turn:
        calls = [turn.ask("[[wait 0.3;; say hi;; usage 10 1]]", max_tokens=10_000) for _ in range(2)]
        await asyncio.gather(*calls)
        await turn.ask("[[say hi;; usage 10 10000]]", max_tokens=10_000)
        with pytest.raises(FORBIDDEN):
            await turn.ask("[[say hi]]", max_tokens=10_000)

    assert isinstance(turn.control.failure, BudgetExceeded)
    assert turn.control.failure.limit == "cost_usd"
    assert max(step.timings["total"] for step in turn.steps.of(StepStatus.DONE)) > 0.55


async def test_a_human_is_asked_where_the_agent_says_so(turns: Turns) -> None:
    async with turns.open(limits=Limits(tokens=1), pause_on_budget=True) as turn:
        asking = asyncio.create_task(turn.ask("[[say hi]]"))
        while not turn.control.questions:
            await asyncio.sleep(0.01)

    (question,) = turn.control.questions
    asking.cancel()
    assert (question.kind, question.key, question.digest) == (
        QuestionKind.BUDGET,
        "tokens",
        str(question.detail["value"]),
    )
    assert turn.control.failure is None
    assert await turns.calls(turn) == []


async def test_a_replayed_call_is_within_any_limit(turns: Turns) -> None:
    async with turns.open() as first:
        await first.ask("[[say hi]]")
    async with turns.open(limits=Limits(tokens=1), recorded=first.steps.steps, marker=first.marker) as second:
        answer = await second.ask("[[say hi]]")

    assert answer.text == "hi"


async def test_a_cost_limit_needs_a_price(turns: Turns) -> None:
    async with turns.open(limits=Limits(cost_usd=1)) as turn:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await turn.ask("[[say hi]]")

    assert isinstance(turn.control.failure, ConfigurationInvalid)
    assert "Limit tokens" in turn.control.failure.hint
    assert await turns.calls(turn) == []


async def test_a_cost_limit_needs_a_known_cost() -> None:
    budget = Budget(Limits(cost_usd=1), Usage(cost_usd=None))

    with pytest.raises(ConfigurationInvalid, match="not known"):
        async with budget.model_call(Estimate((1, 1))):
            pass


async def test_a_known_model_has_its_price(turns: Turns, stream: bool) -> None:
    model_id = PRICED[turns.wire]
    price = {"openai": 0.0008625, "anthropic": 0.0021}[turns.wire]

    async with turns.open(limits=Limits(cost_usd=1), model_id=model_id) as turn:
        await turn.ask("[[say hi;; usage 1000 100 cached 500]]", stream=stream)

    assert turn.steps.done.usage.cost_usd == pytest.approx(price, rel=0.01)


async def test_a_failed_call_without_usage_costs_nothing(turns: Turns) -> None:
    async with turns.open() as turn:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await turn.ask("[[error 400]]")

    assert turn.steps.usage == Usage(model_calls=1)


@pytest.mark.parametrize(
    "script",
    ["[[drop]]", "[[hang]]", "[[say Half;; wait 0.05;; drop]]", "[[say Half;; wait 0.05;; hang]]", "[[garbage]]"],
)
async def test_what_a_broken_call_cost_is_not_known(turns: Turns, script: str) -> None:
    async with turns.open(policy=IMPATIENT, model_id=PRICED[turns.wire]) as turn:
        with pytest.raises((openai.OpenAIError, anthropic.AnthropicError)):
            await turn.ask(script, stream=True, max_tokens=500)

    used = turn.steps.usage
    assert (used.model_calls, used.cost_usd) == (len(await turns.calls(turn)), None)
    assert 500 <= used.reserved_tokens + used.output_tokens <= 1000
    assert used.reserved_cost_usd
    provider, _, name = PRICED[turns.wire].partition("/")
    unpriced = turn.registry.get_sample_value(
        "holdfast_unpriced_model_calls_total", {"provider": provider, "model": name}
    )
    assert unpriced == 1


async def test_a_call_that_nobody_waited_for_was_made(turns: Turns) -> None:
    async with turns.open(limits=Limits(model_calls=1)) as turn:
        asking = asyncio.create_task(turn.ask("[[say Half;; wait 9;; say more]]", stream=True))
        await turns.calls(turn, until="running")
        await asyncio.sleep(0.2)
        asking.cancel()
        failed = await turn.steps.until_written(StepStatus.FAILED)
        with pytest.raises(FORBIDDEN):
            await turn.ask("[[say hi]]")

    assert (failed.usage.model_calls, failed.usage.cost_usd) == (1, None)
    assert len(await turns.calls(turn)) == 1


async def test_a_call_under_way_counts_as_what_is_reserved(turns: Turns) -> None:
    async with turns.open() as turn:
        await turn.ask("[[wait 0.4;; say hi;; usage 10 1]]", max_tokens=500)

    claim, done = turn.steps.writes
    assert (claim.usage.model_calls, claim.usage.cost_usd) == (1, None)
    assert claim.usage.reserved_tokens >= 500
    assert done.usage.reserved_tokens == 0


@pytest.mark.parametrize("limits", [Limits(tokens=2000), Limits(cost_usd=0.01)])
async def test_a_broken_call_counts_as_the_most_that_was_reserved(turns: Turns, limits: Limits) -> None:
    async with turns.open(limits=limits, policy=IMPATIENT, model_id=PRICED[turns.wire]) as turn:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await turn.ask("[[drop]]", max_tokens=10_000)
        with pytest.raises(FORBIDDEN):
            await turn.ask("[[say hi]]", max_tokens=1)

    assert isinstance(turn.control.failure, BudgetExceeded)
    assert len(await turns.calls(turn)) == 1


async def test_a_later_attempt_counts_what_was_reserved(turns: Turns) -> None:
    async with turns.open(policy=IMPATIENT, model_id=PRICED[turns.wire]) as turn:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await turn.ask("[[drop]]", max_tokens=500)
    stored = Usage.model_validate_json((turn.steps.usage + Usage(cost_usd=0.25)).model_dump_json())

    assert (stored.cost_usd, stored.known_cost_usd) == (None, 0.25)
    for limit in (Limits(tokens=500), Limits(cost_usd=0.2501)):
        with pytest.raises(BudgetExceeded):
            async with Budget(limit, stored).model_call(Estimate((1, 1))):
                pass


def test_usage_from_before_is_read_as_it_was_meant() -> None:
    known, unknown = Usage.model_validate({"cost_usd": 0.5}), Usage.model_validate({"cost_usd": None})

    assert (known.known_cost_usd, known.reserved_cost_usd) == (0.5, 0.0)
    assert (unknown.known_cost_usd, unknown.reserved_cost_usd) == (0.0, None)
    assert (known + unknown).known_cost_usd == 0.5


async def test_the_same_request_is_answered_out_of_the_cache(turns: Turns, stream: bool) -> None:
    cache = Cache()
    async with turns.open(policy=CACHED, cache=cache) as first:
        original = await first.ask("[[say hi]]", stream=stream)

    async with turns.open(policy=CACHED, cache=cache, marker=first.marker) as second:
        cached = await second.ask("[[say hi]]", stream=stream)
    async with turns.open(recorded=second.steps.steps, marker=first.marker) as third:
        replayed = await third.ask("[[say hi]]", stream=stream)

    assert cached.message == original.message == replayed.message
    assert len(await turns.calls(first)) == 1
    assert cache.ttls == [60]
    assert second.steps.usage == Usage()
    assert second.session.model == second.endpoint.model
    assert model_steps(second.steps) == [(StepStatus.DONE, 0)]


async def test_without_a_policy_nothing_is_cached(turns: Turns) -> None:
    cache = Cache()

    async with turns.open(cache=cache) as turn:
        await turn.ask("[[say hi]]")

    assert cache.kept == {}


async def test_a_fallbacks_answer_is_not_cached(turns: Turns) -> None:
    cache = Cache()
    policy = CACHED.model_copy(update={"model_fallbacks": [f"{turns.wire}/scripted-2"]})

    async with turns.open(policy=policy, cache=cache) as turn:
        answer = await turn.ask("[[error 500 times 3;; say at last]]")

    assert answer.text == "at last"
    assert turn.session.model == "scripted-2"
    assert cache.kept == {}


async def test_failures_are_not_cached(turns: Turns) -> None:
    cache = Cache()

    async with turns.open(policy=CACHED, cache=cache) as turn:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
            await turn.ask("[[error 400]]")

    assert cache.kept == {}
