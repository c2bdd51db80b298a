"""Circuit breakers, by a clock of the test's own."""

import pytest

from runtimes.errors import ModelOverloaded
from runtimes.types import ModelEndpoint, Wire
from services.model_gateway.breaker import BreakerLimits, Breakers

ENDPOINT = ModelEndpoint("http://provider", "sk-1", Wire.OPENAI, "gpt", "acme")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    return Breakers(BreakerLimits(failures=3, open_seconds=10, forget_seconds=60), clock)


def test_it_opens_after_failures_in_a_row(breakers: Breakers) -> None:
    breaker = breakers.of(ENDPOINT)

    for _ in range(3):
        breaker.enter(ENDPOINT)
        breaker.failed()

    with pytest.raises(ModelOverloaded, match="3 times in a row") as raised:
        breaker.enter(ENDPOINT)
    assert raised.value.retry_after == 10


def test_a_success_closes_it(breakers: Breakers) -> None:
    breaker = breakers.of(ENDPOINT)

    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()

    assert not breaker.is_open


def test_one_call_finds_out_whether_it_can_be_closed(breakers: Breakers, clock: Clock) -> None:
    breaker = breakers.of(ENDPOINT)
    for _ in range(3):
        breaker.failed()
    clock.now += 10

    breaker.enter(ENDPOINT)

    with pytest.raises(ModelOverloaded):
        breaker.enter(ENDPOINT)
    breaker.succeeded()
    breaker.enter(ENDPOINT)


def test_a_probe_that_fails_opens_it_again(breakers: Breakers, clock: Clock) -> None:
    breaker = breakers.of(ENDPOINT)
    for _ in range(3):
        breaker.failed()
    clock.now += 10
    breaker.enter(ENDPOINT)

    breaker.failed()

    assert breaker.is_open


def test_a_probe_that_is_given_up_lets_another_one_try(breakers: Breakers, clock: Clock) -> None:
    breaker = breakers.of(ENDPOINT)
    for _ in range(3):
        breaker.failed()
    clock.now += 10
    breaker.enter(ENDPOINT)

    breaker.left()

    breaker.enter(ENDPOINT)


def test_failures_of_long_ago_do_not_count(breakers: Breakers, clock: Clock) -> None:
    breaker = breakers.of(ENDPOINT)
    breaker.failed()
    breaker.failed()
    clock.now += 61

    breaker.failed()

    assert not breaker.is_open


def test_each_model_has_its_own(breakers: Breakers) -> None:
    other = ModelEndpoint("http://provider", "sk-1", Wire.OPENAI, "other", "acme")

    for _ in range(3):
        breakers.of(ENDPOINT).failed()

    assert breakers.of(ENDPOINT).is_open
    assert not breakers.of(other).is_open
