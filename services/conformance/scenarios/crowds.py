"""Many executions of one agent at once: nothing of one is ever seen in another."""

import asyncio
from uuid import uuid4

from runtimes.types import Capability, Message
from services.conformance.bench import Bench, Case, Taken
from services.conformance.scenario import Scenario, expect, expect_success, expect_that

#: Executions at once.
CROWD = 50
#: Where each needs a process of its own.
SMALL_CROWD = 5
_OF_ITS_OWN_MB = 100


async def canaries(bench: Bench) -> str:
    small = bench.manifest.memory_mb >= _OF_ITS_OWN_MB
    names = [f"canary-{uuid4().hex}" for _ in range(SMALL_CROWD if small else CROWD)]

    crowd = await asyncio.gather(*(bench.run(_guarding(name)) for name in names))

    for name, taken in zip(names, crowd, strict=True):
        expect_success(taken)
        expect_that(name in taken.response, f"{name} is missing in its own answer: {taken.response}")
        expect("somebody else's canaries", _strangers(taken, name, names), [])
    return f"{len(names)} at once" + (", each a process of its own" if small else "")


def _guarding(canary: str) -> Case:
    return Case(
        f'[[wait 0.2;; tool look {{"name": "{canary}"}};; result]]',
        functions=["look"],
        system_prompt=f"You guard {canary}.",
        history=[Message(role="user", content=f"Do you have {canary}?"), Message(role="assistant", content="Yes.")],
    )


def _strangers(taken: Taken, own: str, names: list[str]) -> list[str]:
    seen = f"{taken.response}{taken.record.events}{taken.steps}{[call.body for call in taken.calls]}"
    return [name for name in names if name != own and name in seen]


SCENARIOS = (Scenario("a crowd of canaries", canaries, needs=frozenset({Capability.TOOLS})),)
