"""A framework that puts results of parallel tools into its next request as they come loses no answer by that."""

from collections.abc import AsyncGenerator

import pytest

from runtimes.types import Wire
from services.conformance.bench import Bench, Case
from services.conformance.scenarios import replays
from services.conformance.suite import run, stand
from tests.plugins.hasty import HASTY

#: The first call writes to the disk, the second one has nothing to do.
SCRIPT = '[[say Go.;; tool note {{"path": "{path}", "line": "x"}} && add {{"a": 1, "b": 2}};; say all is done]]'


@pytest.fixture(params=list(Wire))
async def bench(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    async with stand({"hasty": HASTY}) as place, place.bench("hasty", request.param) as put_up:
        yield put_up


async def test_it_is_killed_after_every_write_and_pays_nothing_twice(bench: Bench) -> None:
    (scenario,) = [each for each in replays.SCENARIOS if each.name == "killed after every write"]

    results = [await run(bench, scenario) for _ in range(3)]

    assert [result.detail for result in results if result.outcome != "passed"] == []


async def test_a_later_attempt_asks_in_any_order(bench: Bench) -> None:
    case = Case(SCRIPT.format(path=bench.directory / "ledger"), functions=["note", "add"])
    first = await bench.run(case)
    journal = first.record.journal.copy()
    for step in journal.steps.values():
        step.timings.pop("ended", None)

    again = await bench.again(first, journal)

    assert (again.response, again.calls) == ("all is done", [])
