"""A turn that asks otherwise when it is run again, and a model that then words itself anew."""

import pytest

from runtimes.types import Wire
from services.conformance.bench import Case, done
from services.control_plane_client.models import StepKind
from tests.conformance.conftest import Benches

LINE = "x put in words of its own, 1"
RUNTIMES = ("native", "default", "langgraph", "openai_agents")


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_what_may_be_done_once_is_not_done_for_the_second_wording(runtime: str, benches: Benches) -> None:
    bench = await benches(runtime, Wire.OPENAI, "")
    ledger = bench.directory / "diverged"
    case = Case(f'[[reword;; tool note {{"path": "{ledger}", "line": "x ~"}};; result]]', functions=["note"])
    first = await bench.run(case)
    journal = first.record.journal.copy()
    for step in done(first, StepKind.MODEL_CALL):
        journal.steps[step.ordinal] = step.model_copy(update={"hash": "another", "fingerprint": "another"})

    again = await bench.again(first, journal)

    assert ledger.read_text().splitlines() == [LINE]
    assert "was called before in this turn" in again.response
    assert f"noted {LINE}" in again.response
    types = [event.type for event in again.record.events]
    assert types.count("tool.not_repeated") == 1
    assert "journal.diverged" in types
