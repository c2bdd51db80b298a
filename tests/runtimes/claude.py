"""Runs turns of the Claude Code runtime in tests, attempt after attempt, and keeps what must survive them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from runtimes.claude_code_store import TRANSCRIPT
from runtimes.types import OwnCall, RuntimeEvent, TextDelta, ToolResult, TurnFinished
from tests.runtimes.turns import Turns
from tests.services.model_gateway.gateways import Steps
from tests.services.model_gateway.gateways import Turns as Gateways

SHELL = ({"type": "shell"},)
FILES = ({"type": "file_system"},)


@dataclass(slots=True)
class Lists:
    """A `TurnStore` in memory; without its worker it keeps nothing."""

    lost: bool = False
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])

    async def load(self, name: str) -> list[dict[str, Any]]:
        return list(self.lists.get(name, []))

    async def append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        if not self.lost:
            self.lists.setdefault(name, []).extend(dict(entry) for entry in entries)


class LateLists(Lists):
    """Keeps a transcript only after a while, as a busy control plane does."""

    async def append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        if name == TRANSCRIPT:
            await asyncio.sleep(0.5)
        await Lists.append(self, name, entries)


@dataclass(slots=True)
class Journal:
    """`OwnTools` in memory: a call of an earlier attempt without a result is never run again.

    `undecided` and `denial` hold for the calls of the tools that are `asked` and `denied`, or for all.
    """

    undecided: bool = False
    denial: str = ""
    asked: str = ""
    denied: str = ""
    results: dict[str, ToolResult] = field(default_factory=dict[str, ToolResult])
    begun: list[str] = field(default_factory=list[str])
    names: list[str] = field(default_factory=list[str])
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(
        self, tool_call_id: str, name: str, arguments: Mapping[str, Any], *, beside: Sequence[OwnCall] = ()
    ) -> ToolResult | None:
        if tool_call_id in self.results:
            return self.results[tool_call_id]
        if tool_call_id in self.begun:
            self.results[tool_call_id] = ToolResult("The outcome is unknown.", is_error=True)
            return self.results[tool_call_id]
        if self.undecided and self.asked in ("", name):
            self.waiting.set()
            await asyncio.Event().wait()
        if self.denial and self.denied in ("", name):
            self.results[tool_call_id] = ToolResult(self.denial, is_error=True)
            return self.results[tool_call_id]
        self.begun.append(tool_call_id)
        self.names.append(name)
        return None

    async def end(self, tool_call_id: str, result: ToolResult) -> None:
        self.results[tool_call_id] = result


@dataclass(slots=True)
class Durable:
    """One turn: its workspace, its journal and its store, over all attempts at it."""

    turns: Turns
    workspace: Path
    marker: str = field(default_factory=lambda: uuid4().hex)
    journal: Journal = field(default_factory=Journal)
    store: Lists = field(default_factory=Lists)
    told: list[str] = field(default_factory=list[str])
    steps: Steps = field(default_factory=Steps)
    gateways: Gateways | None = None
    events: list[RuntimeEvent] = field(default_factory=list[RuntimeEvent])
    attempts: int = 0

    async def attempt(self, script: str, **changes: Any) -> list[RuntimeEvent]:
        """Make one more attempt."""
        self.attempts += 1
        self.events = events = list[RuntimeEvent]()
        context = self.turns.context(
            f"{self.marker} {script}",
            **{
                "execution_id": self.marker,
                "attempt": self.attempts,
                "workspace": self.workspace,
                "own_tools": self.journal,
                "store": self.store,
                "told": tuple(self.told),
                **changes,
            },
        )
        runtime = self.turns.factory.create_runtime("claude_code")
        async with aclosing(runtime.stream_execute(context)) as stream:
            async for event in stream:
                events.append(event)
        return events

    async def replayed(self, script: str, **changes: Any) -> list[RuntimeEvent]:
        """Make one more attempt behind the model gateway, which knows the calls of those before."""
        assert self.gateways is not None
        async with self.gateways.open(recorded=self.steps.steps, steps=self.steps) as opened:
            return await self.attempt(script, model=opened.endpoint, **changes)

    async def broken_off(self, script: str, when: Callable[[], bool], **changes: Any) -> None:
        """Make an attempt that ends at a moment, as at the death of its worker."""
        task = asyncio.create_task(self.replayed(script, **changes))
        while not when():
            await asyncio.sleep(0.02)
            assert not task.done(), task.result()
        self.store.lost = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.store.lost = False

    async def outcomes(self) -> list[str]:
        """What came of each call that the model was asked."""
        assert self.turns.model is not None
        return [call["outcome"] for call in await self.turns.model.requests(self.marker)]

    async def model_calls(self) -> int:
        """How often the model was asked."""
        return len(await self.outcomes())


def text_of(events: Sequence[RuntimeEvent]) -> str:
    """All text of a turn."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def finished(events: Sequence[RuntimeEvent]) -> TurnFinished:
    """How a turn ended."""
    last = events[-1]
    assert isinstance(last, TurnFinished)
    return last
