"""The order in which recorded tool calls ended: a framework that is told again is told in the same order."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate

from services.control_plane_client.models import Step, StepKind, StepStatus

#: In `Step.timings`: when a tool call ended, in seconds since 1970.
ENDED = "ended"
#: Seconds that a result waits for those before it: calls that are open at once are asked for at once.
PATIENCE = 0.05


class Completions:
    """Results of one round, each let go after those that came before it; a round is what one answer asks for."""

    def __init__(self, recorded: Sequence[Step]) -> None:
        rounds = accumulate(step.kind is StepKind.MODEL_CALL for step in recorded)
        known = [(of, step) for of, step in zip(rounds, recorded, strict=True) if _has_ended(step)]
        known.sort(key=lambda found: (found[1].attempt, found[1].timings[ENDED]))
        self._before = {
            step.ordinal: {earlier.ordinal for other, earlier in known[:at] if other == of}
            for at, (of, step) in enumerate(known)
        }
        self._due = set(self._before)
        self._changed = asyncio.Event()

    async def turn_of(self, step: Step) -> None:
        """Return when a step's result may be told; one that nobody asks for again is not waited for long."""
        before = self._before.get(step.ordinal, set[int]())
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while before & self._due:
                    self._changed.clear()
                    await self._changed.wait()
        self._due.discard(step.ordinal)
        self._changed.set()


def _has_ended(step: Step) -> bool:
    return step.kind is StepKind.TOOL_CALL and step.status is StepStatus.DONE and ENDED in step.timings
