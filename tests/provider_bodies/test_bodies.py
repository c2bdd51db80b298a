"""Every body under every runtime: the right answer or failure, the right number of calls, and none paid again."""

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from runtimes.factory import RuntimeFactory
from tests.environments import ELSEWHERE, python_of
from tests.provider_bodies.body import Body, every_body
from tests.provider_bodies.table import RUNTIMES, Place, bodies_for, expectations, place

EXPECTED = expectations()
#: The runtime that `make test` runs them under.
FAST = "native"
PATIENCE = 900


def cases() -> Iterator[ParameterSet]:
    """Every body for every runtime here; all but one runtime are for the whole run."""
    factory = RuntimeFactory()
    for runtime in RUNTIMES:
        if runtime not in ELSEWHERE:
            marks = () if runtime == FAST else pytest.mark.whole
            for body in bodies_for(runtime, factory):
                yield pytest.param(runtime, body, id=f"{body.name}-{runtime}", marks=marks)


def elsewhere() -> Iterator[ParameterSet]:
    """Every body for the runtimes in environments of their own."""
    factory = RuntimeFactory()
    for runtime in ELSEWHERE:
        for body in bodies_for(runtime, factory):
            yield pytest.param(runtime, body, id=f"{body.name}-{runtime}", marks=pytest.mark.whole)


@pytest.fixture(scope="module")
async def benches() -> AsyncGenerator[Place]:
    async with place() as benches:
        yield benches


@pytest.fixture(scope="module")
async def rows() -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """Read the outcomes of the bodies elsewhere."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for runtime in ELSEWHERE:
        command = [str(python_of(runtime)), "-m", "tests.provider_bodies", runtime, "--lines"]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert told, done.stderr
        found |= {(runtime, row["body"]): row for row in told}
    return found


def test_every_body_has_an_expectation() -> None:
    assert set(EXPECTED) == {body.name for body in every_body()}


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("runtime", "body"), list(cases()))
async def test_a_body_comes_to_the_same_under_every_runtime(runtime: str, body: Body, benches: Place) -> None:
    row = await benches.row(runtime, body, EXPECTED[body.name])

    assert row.problem == ""


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize(("runtime", "body"), list(elsewhere()))
async def test_a_body_comes_to_the_same_elsewhere(
    runtime: str, body: Body, rows: Mapping[tuple[str, str], Mapping[str, Any]]
) -> None:
    assert rows[runtime, body.name]["problem"] == ""
