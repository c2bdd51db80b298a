"""A model that never says the same twice: what is in the journal counts, whatever it would say now."""

from collections import Counter
from uuid import uuid4

from runtimes.types import Capability
from services.conformance.bench import Bench, Case, Taken
from services.conformance.control_plane import Journal
from services.conformance.kills import killed_after_every_write
from services.conformance.scenario import Scenario, expect, expect_answer, expect_that
from services.control_plane_client.models import StepKind, StepStatus

_TOOLS = frozenset({Capability.TOOLS})
_LAST = "all is done"


async def after_every_write(bench: Bench) -> str:
    script = '[[reword;; say First.;; tool look {"name": "~"};; tool look {"name": "it, ~"} && add {"a": 1, "b": 1};; '

    case = Case(f"{script}say {_LAST}]]", functions=["look", "add"], effect="idempotent")
    first = await killed_after_every_write(bench, case, _LAST, reworded=True)

    return f"{len(first.record.states)} kills"


async def effects_once(bench: Bench) -> str:
    """A call that began may not be repeated, in whatever words it comes again; it is told to be of unknown outcome."""
    ledger = bench.directory / f"ledger-{uuid4().hex}"
    first = await bench.run(Case(_noting(str(ledger)), functions=["note"]))
    expect_answer(first, _LAST)

    for number, journal in enumerate(first.record.states, start=1):
        ledger.unlink(missing_ok=True)
        again = await bench.again(first, journal)
        expect_that(again.response.startswith(_LAST), f"the answer after write {number}: {_said(again)}")
        begun = _begun(journal)
        done = Counter(ledger.read_text().splitlines() if ledger.exists() else ())
        expect(f"effects after write {number}, {begun} of 2 begun", sum(done.values()), 2 - begun)
    return f"{len(first.record.states)} kills"


def _begun(journal: Journal) -> int:
    """Tool calls that were claimed, so that they may have had their effect."""
    calls = [step for step in journal.steps.values() if step.kind is StepKind.TOOL_CALL]
    return sum(step.status in {StepStatus.CLAIMED, StepStatus.DONE} for step in calls)


def _noting(ledger: str) -> str:
    one, two = (f'tool note {{"path": "{ledger}", "line": "{line}, ~"}}' for line in ("one", "two"))
    return f"[[reword;; say First.;; {one};; say Second.;; {two};; say {_LAST}]]"


def _said(taken: Taken) -> str:
    return taken.response or str(taken.failure and taken.failure.message)


SCENARIOS = (
    Scenario("reworded, killed after every write", after_every_write, needs=_TOOLS, fast=False),
    Scenario("reworded effects, killed after every write", effects_once, needs=_TOOLS, fast=False),
)
