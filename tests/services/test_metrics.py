"""What a worker counts of its attempts."""

import pytest
from prometheus_client import CollectorRegistry

from runtimes.errors import AttemptFenced, ModelRateLimited
from runtimes.turns import TurnOutcome
from services.metrics import TurnMetrics


async def ending(failure: Exception) -> TurnOutcome:
    """An attempt that ends so."""
    raise failure


@pytest.mark.parametrize(
    ("failure", "outcome", "code"),
    [
        (ModelRateLimited("Too many requests."), "failed", "model_rate_limited"),
        (ZeroDivisionError("Nobody expected this."), "failed", "internal_error"),
        (AttemptFenced("A newer attempt holds the turn."), "fenced", None),
    ],
)
async def test_what_fails_is_an_error_and_what_is_shut_out_is_none(
    failure: Exception, outcome: str, code: str | None
) -> None:
    registry = CollectorRegistry()

    with pytest.raises(type(failure)):
        await TurnMetrics(registry).attempt("native", ending(failure))

    samples = [sample for family in registry.collect() for sample in family.samples]
    errors = {each.labels["code"]: each.value for each in samples if each.name == "holdfast_errors_total"}
    attempts = {each.labels["outcome"]: each.value for each in samples if each.name == "holdfast_attempts_total"}
    assert errors == ({code: 1} if code else {})
    assert attempts == {outcome: 1}
