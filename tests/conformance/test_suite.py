"""The suite itself: what is wrong is found, what cannot be run is explained."""

from collections.abc import AsyncGenerator

import pytest

from runtimes.manifests.known import KNOWN
from runtimes.types import Capability, Wire
from services.conformance.bench import Bench
from services.conformance.scenario import Mismatch, NotHere, Scenario, expect
from services.conformance.suite import ALL, Stand, check, run


@pytest.fixture(scope="module")
async def parrot(stand: Stand) -> AsyncGenerator[Bench]:
    """A runtime that says what it was told, and asks no model."""
    async with stand.bench("scripted", Wire.OPENAI) as bench:
        yield bench


async def mismatch(_: Bench) -> None:
    expect("colour", "red", "blue")


async def not_here(_: Bench) -> None:
    raise NotHere("There is no sandbox.")


async def crash(_: Bench) -> None:
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("scenario", "outcome", "detail"),
    [
        (Scenario("x", mismatch), "failed", "colour: red, expected blue"),
        (Scenario("x", not_here), "skipped", "There is no sandbox."),
        (Scenario("x", crash), "failed", "KeyError: 'lost'"),
        (Scenario("x", crash, needs=frozenset({Capability.VISION})), "skipped", "does not claim to have: vision"),
    ],
)
async def test_an_outcome_says_what_happened(parrot: Bench, scenario: Scenario, outcome: str, detail: str) -> None:
    result = await run(parrot, scenario)

    assert result.outcome == outcome
    assert detail in result.detail


@pytest.mark.parametrize("name", ["plain answer", "history and system prompt", "401", "404", "500"])
async def test_a_runtime_that_does_something_else_is_found(parrot: Bench, name: str) -> None:
    [scenario] = [scenario for scenario in ALL if scenario.name == name]

    with pytest.raises(Mismatch):
        await scenario.check(parrot)


async def test_a_runtime_that_calls_no_model_is_left_out_with_the_reason(stand: Stand) -> None:
    results = [result async for result in check(stand, "scripted")]

    assert [(result.outcome, bool(result.detail)) for result in results] == [("skipped", True)]


def test_names_of_scenarios_are_unique() -> None:
    assert len({scenario.name for scenario in ALL}) == len(ALL)


def test_every_runtime_that_calls_models_is_checked() -> None:
    left_out = {name for name, manifest in KNOWN.items() if not manifest.wires}

    assert left_out == {"scripted"}
