"""A turn that is run again: out of its journal, from wherever its worker was lost, and in the same words."""

from uuid import uuid4

from runtimes.types import Capability
from services.conformance.bench import Bench, Case, Taken
from services.conformance.kills import killed_after_every_write
from services.conformance.scenario import Scenario, expect, expect_answer

_TOOLS = frozenset({Capability.TOOLS})


async def out_of_the_journal(bench: Bench) -> str:
    ledger = bench.directory / f"ledger-{uuid4().hex}"
    first = await bench.run(Case(_noting(str(ledger)), functions=["note", "add"]))
    expect_answer(first, "all is done")

    second = await bench.again(first, first.record.journal)

    expect_answer(second, "all is done")
    expect("model calls made again", len(second.calls), 0)
    expect("entries in the ledger", ledger.read_text().splitlines(), ["one", "two"])
    expect("steps written again", len(second.steps) - len(first.steps), 0)
    return f"{len(first.calls)} model calls in {first.seconds:.2f} s, replayed in {second.seconds:.2f} s"


async def after_every_write(bench: Bench) -> str:
    """Each journal that a killed worker may leave; tools are idempotent, so that none is of unknown outcome."""
    ledger = bench.directory / f"ledger-{uuid4().hex}"
    case = Case(_noting(str(ledger)), functions=["note", "add"], effect="idempotent")

    first = await killed_after_every_write(bench, case, "all is done")

    return f"{len(first.record.states)} kills"


async def in_the_same_words(bench: Bench) -> None:
    case = Case('[[say Let me see.;; tool add {"a": 1, "b": 2} && add {"a": 3, "b": 4};; result]]', functions=["add"])
    first = await bench.run(case)

    second = await bench.again(first)

    expect("response", second.response, first.response)
    expect("requests that differ", _different(first, second), [])


def _noting(ledger: str) -> str:
    one, two = (f'note {{"path": "{ledger}", "line": "{line}"}}' for line in ("one", "two"))
    return f'[[say First.;; tool {one};; tool {two} && add {{"a": 1, "b": 1}};; say all is done]]'


def _different(first: Taken, second: Taken) -> list[int]:
    pairs = list(zip(first.calls, second.calls, strict=False))
    different = [number for number, (one, other) in enumerate(pairs, start=1) if one.hash != other.hash]
    return different + list(range(len(pairs) + 1, max(len(first.calls), len(second.calls)) + 1))


SCENARIOS = (
    Scenario("replay out of the journal", out_of_the_journal, needs=_TOOLS),
    Scenario("killed after every write", after_every_write, needs=_TOOLS, fast=False),
    Scenario("the same requests again", in_the_same_words, needs=_TOOLS),
)
