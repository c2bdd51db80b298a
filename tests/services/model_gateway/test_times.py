"""How long models take is measured from each request to a provider, not from the first one."""

from prometheus_client import CollectorRegistry

from services.control_plane_client.models import StepStatus
from tests.services.model_gateway.gateways import Turns

MODEL_CALLS = "holdfast_model_call_seconds"
FIRST_TOKENS = "holdfast_model_first_token_seconds"


def total(registry: CollectorRegistry, name: str, turns: Turns) -> float:
    """The sum of what was observed of the turn's model."""
    value = registry.get_sample_value(f"{name}_sum", labels(turns))
    assert value is not None
    return value


def labels(turns: Turns) -> dict[str, str]:
    """The only model's."""
    return {"provider": str(turns.wire), "model": "scripted-1"}


async def test_earlier_tries_are_no_part_of_a_first_token(turns: Turns) -> None:
    async with turns.open() as turn:
        await turn.ask("[[error 429 retry-after 1 times 1;; say hi]]", stream=True)

    done = turn.steps.done.timings
    assert turn.registry.get_sample_value(f"{FIRST_TOKENS}_count", labels(turns)) == 1
    # The waiting lies between the framework's request and the second one of ours.
    assert done["first_token"] - total(turn.registry, FIRST_TOKENS, turns) >= 1
    assert done["total"] - done["provider"] >= 1


async def test_every_request_has_its_own_duration(turns: Turns) -> None:
    async with turns.open() as turn:
        await turn.ask("[[error 429 retry-after 1 times 1;; say hi]]")

    failed, done = turn.steps.of(StepStatus.FAILED)[0].timings, turn.steps.done.timings
    assert turn.registry.get_sample_value(f"{MODEL_CALLS}_count", labels(turns)) == 2
    assert abs(total(turn.registry, MODEL_CALLS, turns) - failed["provider"] - done["provider"]) < 1e-4
