"""Odd things that models say: characters that cannot be stored or come torn, and calls with odd ids."""

from functools import partial

from runtimes.types import Capability
from services.conformance.bench import Bench, Case
from services.conformance.kills import killed_after_every_write
from services.conformance.scenario import Scenario, expect, expect_answer

_TOOLS = frozenset({Capability.TOOLS})
_EMOJI = "\N{GRINNING FACE}"
_NUL = r'raw "Hi \u0000x.";; tool look {"name": "a\u0000b"};; result'
_TORN = f'say Hi {_EMOJI}.;; tool look {{"name": "{_EMOJI}"}};; result'
_TWO = 'tool add {"a": 1, "b": 1} && look {"name": "the moon"}'
_IDS = ("missing", "empty", "same")


async def nul(bench: Bench) -> None:
    taken = await bench.run(Case(f"[[{_NUL}]]", functions=["look"]))

    expect_answer(taken, "You looked at a\ufffdb.")
    expect("texts that were told", taken.record.journal.told, ["Hi \ufffdx.", "You looked at a\ufffdb."])


async def nul_after_a_kill(bench: Bench) -> str:
    case = Case(f"[[{_NUL}]]", functions=["look"], effect="idempotent")

    first = await killed_after_every_write(bench, case, "You looked at a\ufffdb.")

    return f"{len(first.record.states)} kills"


async def torn(bench: Bench) -> None:
    taken = await bench.run(Case(f"[[tear;; {_TORN}]]", functions=["look"]))

    expect_answer(taken, f"You looked at {_EMOJI}.")
    expect("texts that were told", taken.record.journal.told, [f"Hi {_EMOJI}.", f"You looked at {_EMOJI}."])


async def ids(bench: Bench, kind: str) -> None:
    taken = await bench.run(Case(f"[[ids {kind};; {_TWO};; {_TWO};; result]]", functions=["add", "look"]))

    expect_answer(taken, "2\nYou looked at the moon.")
    results = sorted(message.result for message in taken.outcome.tool_messages) if taken.outcome else []
    expect("tool calls", results, ["2", "2", "You looked at the moon.", "You looked at the moon."])
    expect("model calls", len(taken.calls), 3)


async def ids_after_a_kill(bench: Bench, kind: str) -> str:
    case = Case(f"[[ids {kind};; {_TWO};; say seen]]", functions=["add", "look"], effect="idempotent")

    first = await killed_after_every_write(bench, case, "seen")

    return f"{len(first.record.states)} kills"


SCENARIOS = (
    Scenario("U+0000", nul, needs=_TOOLS),
    Scenario("U+0000, killed after every write", nul_after_a_kill, needs=_TOOLS, fast=False),
    Scenario("torn characters", torn, needs=_TOOLS),
    *(Scenario(f"ids of calls, {kind}", partial(ids, kind=kind), needs=_TOOLS) for kind in _IDS),
    *(
        Scenario(
            f"ids of calls, {kind}, killed after every write",
            partial(ids_after_a_kill, kind=kind),
            needs=_TOOLS,
            fast=False,
        )
        for kind in _IDS
    ),
)
