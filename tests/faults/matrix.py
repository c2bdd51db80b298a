"""One cell of the kill matrix: an execution, a kill, another worker that goes on."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.checker import first_violation, settled
from tests.faults.evidence import Evidence
from tests.faults.field import Field, Run, Strike
from tests.faults.kill_points import KillPoint

#: Seconds from the start of an execution to the moment of its kill, at most.
PATIENCE = 45.0
EFFECTS_NEEDED = 2
#: Model calls of `script`: one for each tool, one for the last message.
CALLS_NEEDED = 3


class Wording(StrEnum):
    """Of a model that is asked the same again: it repeats itself, or never says the same twice."""

    SAME = "same words"
    OTHER = "other words"


@dataclass(slots=True)
class Cell:
    """What a kill at one point cost under one runtime; `resumed_after` is in seconds."""

    runtime: str
    point: str
    wording: str = Wording.SAME
    calls_made: int = 0
    calls_needed: int = CALLS_NEEDED
    effects_made: int = 0
    effects_needed: int = EFFECTS_NEEDED
    most_per_effect: int = 0
    unknown: int = 0
    resumed_after: float | None = None
    problem: str = ""


def script(field: Field, point: KillPoint, wording: Wording) -> str:
    """Two tools with an effect each, and text before and after them."""
    tools = (field.ledger.call("TOKEN-a"), field.ledger.call("TOKEN-b", point.seconds))
    manner = "reword;; " if wording is Wording.OTHER else ""
    return f"{manner}emit 16 @20;; {tools[0]};; {tools[1]};; emit 30 @30"


async def shoot(field: Field, point: KillPoint, wording: Wording = Wording.SAME) -> Cell:
    """Kill at a point and let the heir go on; the cell says what became of it.

    The model that words itself anew has a name that frameworks know, the other one has not.
    """
    cell = Cell(field.pool, point.name, wording)
    await field.recover()
    wait = point.arm(field)
    agent = "asking" if point.approval else "agent"
    run = await field.fire(script(field, point, wording), agent=agent, knows_model=wording is Wording.OTHER)
    try:
        async with asyncio.timeout(PATIENCE):
            strike = await wait(run)
        run.strikes.append(strike)
        if point.approval:
            await field.approve_all(run)
        await field.result(run.execution)
    except TimeoutError:
        cell.problem = f"the kill never came, or the execution never ended: {await field.types(run.execution)}"
        return cell
    cell.resumed_after = resumed_after(field, run, strike)
    evidence = await settled(field, run)
    _count(cell, evidence)
    cell.problem = first_violation(evidence) or ""
    return cell


def resumed_after(field: Field, run: Run, strike: Strike) -> float | None:
    """Seconds to the first piece of new work; None if there was none left to do."""
    later = (
        call.at - strike.at
        for call in field.calls
        if call.execution == run.execution and call.attempt > strike.attempt and call.at > strike.at
    )
    return next(later, None)


def _count(cell: Cell, evidence: Evidence) -> None:
    cell.calls_made = len(evidence.requests)
    cell.effects_made = len(evidence.effects)
    cell.most_per_effect = max(evidence.effects_per_call().values(), default=0)
    cell.unknown = len(evidence.steps_with("tool_call", "unknown"))
