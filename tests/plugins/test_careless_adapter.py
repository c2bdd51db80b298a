"""The scenarios of what the platform enforces pass with an adapter that enforces nothing."""

from collections.abc import AsyncGenerator

import pytest

from runtimes.types import Wire
from services.conformance.scenario import Scenario
from services.conformance.scenarios import enforced, offers, replays, tool_calls
from services.conformance.suite import Stand, run, stand
from tests.plugins.careless.runtime import CARELESS

#: These are about what an adapter tells of its own: text before a call, and the words for a tool that there is not.
_OWN = {"one tool call", "unknown tool"}
SCENARIOS = [
    scenario
    for scenario in (*enforced.SCENARIOS, *tool_calls.SCENARIOS, *replays.SCENARIOS, *offers.SCENARIOS)
    if scenario.name not in _OWN
]


@pytest.fixture(scope="module")
async def careless() -> AsyncGenerator[Stand]:
    async with stand({CARELESS.name: CARELESS}) as place:
        yield place


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_careless_adapter_passes(careless: Stand, scenario: Scenario) -> None:
    async with careless.bench(CARELESS.name, Wire.OPENAI) as bench:
        result = await run(bench, scenario)

    assert (result.outcome, result.detail if result.outcome == "failed" else "") == ("passed", "")
