"""Ten moments of a turn at which its worker is killed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.field import Field, Run, Strike
from tests.faults.gate import Call, Moment

Strikes = Awaitable[Strike]


@dataclass(frozen=True, slots=True)
class KillPoint:
    """`arm` is called before the execution starts and gives what waits for the kill.

    `uncertain`: nobody can know whether the effect under way was done, so one may be missing.
    `seconds` is how long the second tool takes.
    """

    name: str
    arm: Callable[[Field], Callable[[Run], Strikes]]
    uncertain: bool = False
    seconds: float = 0.0
    approval: bool = False

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _at(moment: Moment, matches: Callable[[Call], bool]) -> Callable[[Field], Callable[[Run], Strikes]]:
    """Kill the worker whose call matches; the call goes no further."""

    def arm(field: Field) -> Callable[[Run], Strikes]:
        sprung = field.trap(moment, matches, lambda call: field.kill(call.worker, call.attempt))
        return lambda _: sprung

    return arm


def _during_second_tool(field: Field) -> Callable[[Run], Strikes]:
    async def strike(run: Run) -> Strike:
        await field.until(lambda: _begun(field, run, 2))
        return await field.kill(*field.holder(run.execution))

    return strike


def _while_suspended(field: Field) -> Callable[[Run], Strikes]:
    async def strike(run: Run) -> Strike:
        await field.until_suspended(run)
        return await field.kill(*field.holder(run.execution))

    return strike


async def _begun(field: Field, run: Run, number: int) -> bool:
    return len(field.ledger.begun(run.token)) >= number


def _writes(kind: str, status: str) -> Callable[[Call], bool]:
    return lambda call: any(call.steps(kind, status))


def _streams(piece: str) -> Callable[[Call], bool]:
    return lambda call: piece in call.text


KILL_POINTS = {
    point.name: point
    for point in (
        KillPoint("before the first call", _at(Moment.ANSWERED, lambda call: call.verb == "open")),
        KillPoint("during a stream", _at(Moment.ASKED, _streams("tok8"))),
        KillPoint("between response and commit", _at(Moment.ASKED, _writes("model_call", "done"))),
        KillPoint("before claim", _at(Moment.ASKED, _writes("tool_call", "claimed"))),
        KillPoint("between claim and effect", _at(Moment.ANSWERED, _writes("tool_call", "claimed")), uncertain=True),
        KillPoint("between effect and commit", _at(Moment.ASKED, _writes("tool_call", "done")), uncertain=True),
        KillPoint("during the second tool", _during_second_tool, uncertain=True, seconds=6),
        KillPoint("while suspended", _while_suspended, approval=True),
        KillPoint("during the last message", _at(Moment.ASKED, _streams("tok20"))),
        KillPoint("after close", _at(Moment.ANSWERED, lambda call: call.verb == "close")),
    )
}
