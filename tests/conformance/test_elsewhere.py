"""Runtimes in environments of their own, in every scenario: one run of the suite there, a test for each result."""

import asyncio
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from services.conformance.suite import ALL
from tests.environments import ELSEWHERE, holdfast_of

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]
#: Seconds that a run of the suite may take on a busy machine.
PATIENCE = 900


def cases() -> Iterator[ParameterSet]:
    """Every scenario for every such runtime; slow ones are marked."""
    for runtime in ELSEWHERE:
        for scenario in ALL:
            marks = () if scenario.fast else pytest.mark.whole
            yield pytest.param(runtime, scenario.name, id=f"{scenario.name}-{runtime}", marks=marks)


@pytest.fixture(scope="session")
async def results(request: pytest.FixtureRequest) -> Results:
    """What came of the scenarios that this run of the tests wants."""
    ours = [item for item in request.session.items if item.path == Path(__file__)]
    options = () if any(item.get_closest_marker("whole") for item in ours) else ("--fast",)
    return {runtime: await asyncio.to_thread(_checked, runtime, *options) for runtime in ELSEWHERE}


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(("runtime", "scenario"), list(cases()))
async def test_a_runtime_elsewhere_does_as_all_do(runtime: str, scenario: str, results: Results) -> None:
    result = results[runtime][scenario]

    if result["outcome"] == "skipped":
        pytest.skip(result["detail"])
    assert (result["outcome"], result["detail"]) == ("passed", result["detail"])


def _checked(runtime: str, *options: str) -> Mapping[str, Mapping[str, Any]]:
    command = [str(holdfast_of(runtime)), "runtimes", "check", runtime, "-o", "jsonl", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told, done.stderr
    return {result["scenario"]: result for result in told}
