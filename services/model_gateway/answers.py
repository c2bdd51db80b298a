"""The recorded answers of a turn, by the ids of their tool calls."""

import asyncio
from collections.abc import Mapping
from typing import Any

from services.journal import Journal
from services.model_gateway.wires.wire import Answers, ModelWire


class TurnAnswers:
    """The answers of this attempt, and those of earlier ones in the journal: also where nobody asks for them again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_call: dict[str, Mapping[str, Any]] = {}
        self._reading = asyncio.Lock()
        self._is_read = False

    def note(self, wire: ModelWire, record: Mapping[str, Any]) -> None:
        """Know an answer that is in the journal."""
        calls = wire.called(record)
        self._by_call.update((call.words, record) for call in calls)
        self._by_call.update((call.id, record) for call in calls)

    async def known(self, wire: ModelWire) -> Answers:
        """All answers so far.

        Raises:
            RuntimeFailure: an answer cannot be read.
        """
        async with self._reading:
            if not self._is_read:
                for record in await self._journal.answers():
                    self.note(wire, record)
                self._is_read = True
        return self._by_call
