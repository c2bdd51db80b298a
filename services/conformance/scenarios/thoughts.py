"""Thoughts: they are no part of an answer, and go back to a provider that insists on them."""

from runtimes.types import Capability
from services.conformance.bench import Bench, Case
from services.conformance.kills import killed_after_every_write
from services.conformance.scenario import Scenario, expect, expect_answer

_TOOLS = frozenset({Capability.TOOLS})
_OPEN = 'think I have to add.;; tool add {"a": 2, "b": 3};; think And again.;; tool add {"a": 5, "b": 1}'
_SEALED = 'seal Not for you.;; tool add {"a": 2, "b": 3};; seal Nor this.;; tool add {"a": 5, "b": 1}'


async def told_apart(bench: Bench) -> None:
    taken = await bench.run(Case("[[think Somebody greets me.;; say Hello.]]"))

    expect_answer(taken, "Hello.")
    expect("texts that were told", taken.record.journal.told, ["Hello."])


async def open_ones_go_back(bench: Bench) -> None:
    taken = await bench.run(Case(f"[[insist;; {_OPEN};; think Done.;; say six]]", functions=["add"]))

    expect_answer(taken, "six")
    expect("model calls", [call.outcome for call in taken.calls], ["completed"] * 3)


async def sealed_ones_go_back(bench: Bench) -> None:
    taken = await bench.run(Case(f"[[insist;; {_SEALED};; say six]]", functions=["add"]))

    expect_answer(taken, "six")
    expect("model calls", [call.outcome for call in taken.calls], ["completed"] * 3)


async def kept_after_a_kill(bench: Bench) -> str:
    script = f"[[insist;; think First of all.;; {_SEALED};; think Done.;; say six]]"

    first = await killed_after_every_write(bench, Case(script, functions=["add"], effect="idempotent"), "six")

    return f"{len(first.record.states)} kills"


SCENARIOS = (
    Scenario("thoughts are no part of the answer", told_apart),
    Scenario("thoughts go back", open_ones_go_back, needs=_TOOLS),
    Scenario("sealed thoughts go back", sealed_ones_go_back, needs=_TOOLS),
    Scenario("thoughts, killed after every write", kept_after_a_kill, needs=_TOOLS, fast=False),
)
