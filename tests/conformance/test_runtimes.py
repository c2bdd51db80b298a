"""Every runtime in every scenario; `make test` leaves out the slow ones."""

from collections.abc import Iterator
from itertools import product

import pytest
from _pytest.mark import ParameterSet

from runtimes.errors import RuntimeNotInstalled
from runtimes.manifests.known import KNOWN
from runtimes.types import Wire
from services.conformance.scenario import Scenario
from services.conformance.suite import ALL, run
from tests.conformance.conftest import Benches
from tests.conformance.places import known_places
from tests.environments import ELSEWHERE

HERE = [manifest for name, manifest in sorted(KNOWN.items()) if name not in ELSEWHERE]
PLACES = [
    (manifest.name, wire, model)
    for manifest in HERE
    for wire, model in (*((wire, "") for wire in sorted(manifest.wires)), *known_places(manifest))
]
#: What `make test` asks of a runtime that starts a process for each turn: that takes a second of both cores.
ESSENTIAL = {
    "plain answer",
    "history and system prompt",
    "usage",
    "parallel tool calls",
    "unknown tool",
    "tool of an MCP server",
    "401 after a tool call",
    "stall in mid-stream",
    "cancel while streaming",
    "cancel in a command",
    "structured output, repaired",
    "replay out of the journal",
}
#: And of one whose model has a name that it knows.
ESSENTIAL_WHERE_KNOWN = {"parallel tool calls", "thoughts go back", "replay out of the journal"}
HEAVY_MB = 100


def cases() -> Iterator[ParameterSet]:
    """Every scenario for every runtime, wire and name of a model that is known; slow ones are marked."""
    for scenario, (runtime, wire, model) in product(ALL, PLACES):
        essential = ESSENTIAL_WHERE_KNOWN if model else ESSENTIAL
        is_fast = scenario.fast and (KNOWN[runtime].memory_mb < HEAVY_MB or scenario.name in essential)
        marks = () if is_fast else pytest.mark.whole
        name = "-".join(filter(None, (scenario.name, runtime, wire, model)))
        yield pytest.param(scenario, runtime, wire, model, id=name, marks=marks)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("scenario", "runtime", "wire", "model"), list(cases()))
async def test_every_runtime_does_as_all_do(
    scenario: Scenario, runtime: str, wire: Wire, model: str, benches: Benches
) -> None:
    try:
        bench = await benches(runtime, wire, model)
    except RuntimeNotInstalled as missing:
        pytest.skip(f"{missing.message} {missing.hint}")

    result = await run(bench, scenario)

    if result.outcome == "skipped":
        pytest.skip(result.detail)
    assert (result.outcome, result.detail) == ("passed", result.detail)
