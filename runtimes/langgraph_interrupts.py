"""Interrupts of a graph as questions to a human."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langgraph.types import Command, Interrupt
from pydantic_core import to_jsonable_python

from runtimes.errors import ConfigurationInvalid
from runtimes.types import OwnTools, ToolResult

#: The tool's name under which interrupts are put to a human.
INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class Pending:
    """An interrupt that waits for its decision, and the node that it stands in."""

    node: str
    interrupt: Interrupt[Any]


class Decisions:
    """Asks for what a graph waits for; LangGraph's own ids of interrupts are new in every attempt, ours are not."""

    def __init__(self, journal: OwnTools | None) -> None:
        self._journal = journal
        self._rounds = 0

    async def of(self, pending: Sequence[Pending]) -> Command[Any]:
        """The decisions on all that is pending, as the graph takes them; does not return before all are there.

        Raises:
            ConfigurationInvalid: nobody can be asked here.
        """
        self._rounds += 1
        asking = [
            asyncio.ensure_future(self._answer(f"{INTERRUPT}_{self._rounds}_{place}", waits))
            for place, waits in enumerate(pending, 1)
        ]
        try:
            answers = await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
        return Command(resume={waits.interrupt.id: answer for waits, answer in zip(pending, answers, strict=True)})

    async def _answer(self, key: str, waits: Pending) -> Any:
        """One decision, or one for each call that LangChain's HumanInTheLoopMiddleware asks about at once."""
        value = to_jsonable_python(waits.interrupt.value, fallback=str)
        actions = cast("Mapping[str, Any]", value).get("action_requests") if isinstance(value, dict) else None
        if not isinstance(actions, list):
            return await self._decision(key, waits.node, value)
        calls = cast("list[Any]", actions)
        decisions = [
            await self._decision(f"{key}_{place}", waits.node, action) for place, action in enumerate(calls, 1)
        ]
        return {"decisions": decisions}

    async def _decision(self, key: str, node: str, value: Any) -> dict[str, Any]:
        if self._journal is None:
            raise ConfigurationInvalid(f"Node '{node}' asks a human, and nobody can be asked here.")
        denied = await self._journal.begin(key, INTERRUPT, {"node": node, "value": value})
        if denied is None:
            await self._journal.end(key, ToolResult(""))
            return {"type": "approve"}
        if denied.is_error:
            return {"type": "reject", "message": denied.text}
        return {"type": "approve"}
