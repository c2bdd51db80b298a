"""Every runtime in every scenario; `make test` leaves out the slow ones."""

import pytest

from runtimes.errors import RuntimeNotInstalled
from runtimes.manifests.known import KNOWN
from runtimes.types import Wire
from services.conformance.scenario import Scenario
from services.conformance.suite import ALL, run
from tests.conformance.conftest import Benches

PAIRS = [(name, wire) for name, manifest in sorted(KNOWN.items()) for wire in sorted(manifest.wires)]
SCENARIOS = [
    pytest.param(scenario, id=scenario.name, marks=() if scenario.fast else pytest.mark.whole) for scenario in ALL
]


@pytest.mark.parametrize(("runtime", "wire"), PAIRS)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_runtime_does_as_all_do(runtime: str, wire: Wire, scenario: Scenario, benches: Benches) -> None:
    try:
        bench = await benches(runtime, wire)
    except RuntimeNotInstalled as missing:
        pytest.skip(f"{missing.message} {missing.hint}")

    result = await run(bench, scenario)

    if result.outcome == "skipped":
        pytest.skip(result.detail)
    assert (result.outcome, result.detail) == ("passed", result.detail)
