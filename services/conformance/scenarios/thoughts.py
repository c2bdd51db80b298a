"""Thoughts: they are no part of an answer."""

from services.conformance.bench import Bench, Case
from services.conformance.scenario import Scenario, expect, expect_answer


async def told_apart(bench: Bench) -> None:
    taken = await bench.run(Case("[[think Somebody greets me.;; say Hello.]]"))

    expect_answer(taken, "Hello.")
    expect("texts that were told", taken.record.journal.told, ["Hello."])


SCENARIOS = (Scenario("thoughts are no part of the answer", told_apart),)
