"""Keeps the CLI's transcript in the turn's store, as it is written."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from typing import Any

from claude_agent_sdk import SessionKey, SessionStoreEntry

from runtimes.claude_code_rounds import Rounds
from runtimes.claude_code_tools import Ending
from runtimes.claude_code_transcript import Entry, Start, results_of
from runtimes.claude_code_wire import as_told
from runtimes.errors import RuntimeFailure
from runtimes.types import ToolResult, TurnStore

#: The lists in the turn's store.
TRANSCRIPT, CALLS, ROUNDS = "transcript", "calls", "rounds"
#: Seconds after which nothing more comes of what the CLI writes each 0.1 s.
_WRITTEN_WITHIN = 2


class TranscriptStore:
    """The SDK's session store of one attempt.

    The list of the turn's store has an item for each entry, and one for each start of the CLI: how many of the
    entries so far it kept, and which others it began with. `recorded` are results that the model is told in place
    of what the CLI has. `rounds` are what the model was told between its answers.
    """

    def __init__(self, store: TurnStore | None, ending: Ending, recorded: Mapping[str, ToolResult]) -> None:
        self._store = store
        self._ending = ending
        self._recorded = recorded
        self.rounds = Rounds(self._keep_round)
        self._turn = asyncio.Lock()
        self._results: set[str] = set()
        self._grown = asyncio.Condition()

    async def stored(self) -> tuple[list[Entry], dict[str, Mapping[str, Any]]]:
        """The transcript as the last attempt left it, and the CLI's own calls that were begun."""
        if self._store is None:
            return [], {}
        self.rounds.recall(await self._store.load(ROUNDS))
        entries: list[Entry] = []
        for item in await self._store.load(TRANSCRIPT):
            start = item.get("start")
            entries = [*entries[: start["kept"]], *start["entries"]] if start else [*entries, item["entry"]]
        return entries, {call["id"]: call for call in await self._store.load(CALLS)}

    async def begin(self, start: Start, stored: Sequence[Entry]) -> None:
        """Note where this attempt begins."""
        pairs = zip(start.entries, stored, strict=False)
        kept = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(start.entries), len(stored)))
        await self._append(TRANSCRIPT, [{"start": {"kept": kept, "entries": start.entries[kept:]}}])

    async def note(self, call: Mapping[str, Any]) -> None:
        """Keep one of the CLI's own calls: only what is here was perhaps claimed."""
        await self._append(CALLS, [call])

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Nothing: the CLI finds its transcript in its sandbox."""
        return None

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Keep what the CLI has written, as the model is told it; subagents' are not needed, they run again."""
        kept = [as_told(entry, self._recorded) for entry in entries if "uuid" in entry] if "subpath" not in key else []
        try:
            await self._append(TRANSCRIPT, [{"entry": entry} for entry in kept])
        except RuntimeFailure as failure:
            self._ending.fail(failure)
        async with self._grown:
            self._results.update(call for entry in entries for call in results_of(entry))
            self._grown.notify_all()

    async def until_kept(self, calls: Set[str]) -> None:
        """Wait until the results of tool calls are in the transcript, where the CLI writes them at all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITTEN_WITHIN), self._grown:
                await self._grown.wait_for(lambda: calls <= self._results)
        self._results |= calls

    async def _keep_round(self, told: Mapping[str, Any]) -> None:
        """Keep a round; where it cannot be kept, the turn ends, and no model is asked."""
        try:
            await self._append(ROUNDS, [told])
        except RuntimeFailure as failure:
            self._ending.fail(failure)
            await asyncio.Event().wait()

    async def _append(self, name: str, items: Sequence[Mapping[str, Any]]) -> None:
        if self._store is not None and items:
            async with self._turn:
                await self._store.append(name, items)
