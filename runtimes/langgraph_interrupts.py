"""Interrupts of a graph as questions to a human."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langgraph.types import Command, Interrupt
from pydantic_core import to_jsonable_python

from runtimes.errors import ConfigurationInvalid
from runtimes.types import OwnTools, ToolResult

#: The tool's name under which interrupts are put to a human.
INTERRUPT = "interrupt"

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Pending:
    """An interrupt that waits for its decision, and the node that it stands in."""

    node: str
    interrupt: Interrupt[Any]


class Decisions:
    """Asks for what a graph waits for; LangGraph's own ids of interrupts are new in every attempt, ours are not."""

    def __init__(self, journal: OwnTools | None, turn: int) -> None:
        self._journal = journal
        self._turn = turn
        self._rounds = 0

    async def of(self, pending: Sequence[Pending]) -> Command[Any]:
        """The decisions on all that is pending, as the graph takes them; does not return before all are there.

        Raises:
            ConfigurationInvalid: nobody can be asked here.
        """
        self._rounds += 1
        asking = [self._answer(f"{self._rounds}.{number}", waits) for number, waits in enumerate(pending, 1)]
        answers = await _all(asking)
        return Command(resume={waits.interrupt.id: answer for waits, answer in zip(pending, answers, strict=True)})

    async def _answer(self, place: str, waits: Pending) -> Any:
        """One decision, or one for each call that LangChain's HumanInTheLoopMiddleware asks about at once."""
        value = to_jsonable_python(waits.interrupt.value, fallback=str)
        actions = cast("Mapping[str, Any]", value).get("action_requests") if isinstance(value, dict) else None
        if not isinstance(actions, list) or not actions:
            return await self._decision(place, waits.node, value)
        calls = cast("list[Any]", actions)
        places = [f"{place}.{number}" for number in range(1, len(calls) + 1)]
        decisions = [self._decision(each, waits.node, call) for each, call in zip(places, calls, strict=True)]
        return {"decisions": await _all(decisions)}

    async def _decision(self, place: str, node: str, value: Any) -> dict[str, Any]:
        if self._journal is None:
            raise ConfigurationInvalid(f"Node '{node}' asks a human, and nobody can be asked here.")
        key, asked = f"{INTERRUPT}_{self._turn}_{place}", {"node": node, "place": place, "value": value}
        decided = await self._journal.begin(key, INTERRUPT, asked)
        if decided is None:
            await self._journal.end(key, ToolResult("approved"))
        elif decided.is_error:
            return {"type": "reject", "message": decided.text}
        return {"type": "approve"}


async def _all(asking: Sequence[Coroutine[Any, Any, Made]]) -> list[Made]:
    """Ask everything at once; a failure of one ends the others too."""
    tasks = [asyncio.ensure_future(each) for each in asking]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
