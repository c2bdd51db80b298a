"""Odd things that models say: characters that cannot be stored."""

from runtimes.types import Capability
from services.conformance.bench import Bench, Case
from services.conformance.kills import killed_after_every_write
from services.conformance.scenario import Scenario, expect, expect_answer

_TOOLS = frozenset({Capability.TOOLS})
_NUL = r'raw "Hi \u0000x.";; tool look {"name": "a\u0000b"};; result'


async def nul(bench: Bench) -> None:
    taken = await bench.run(Case(f"[[{_NUL}]]", functions=["look"]))

    expect_answer(taken, "You looked at a\ufffdb.")
    expect("texts that were told", taken.record.journal.told, ["Hi \ufffdx.", "You looked at a\ufffdb."])


async def nul_after_a_kill(bench: Bench) -> str:
    case = Case(f"[[{_NUL}]]", functions=["look"], effect="idempotent")

    first = await killed_after_every_write(bench, case, "You looked at a\ufffdb.")

    return f"{len(first.record.states)} kills"


SCENARIOS = (
    Scenario("U+0000", nul, needs=_TOOLS),
    Scenario("U+0000, killed after every write", nul_after_a_kill, needs=_TOOLS, fast=False),
)
