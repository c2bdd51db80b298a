"""The claim of a model call, written only if the call takes its time."""

import asyncio
from contextlib import suppress

from runtimes.errors import RuntimeFailure
from services.control_plane_client.models import Step
from services.journal import Journal

#: Calls that are over by then need no claim: one write instead of two.
CLAIM_AFTER_SECONDS = 0.1


class LazyClaim:
    """Writes the claimed step once the call has lasted a while."""

    def __init__(self, journal: Journal, step: Step) -> None:
        self._journal = journal
        self._step = step
        self._is_settled = False
        self._timer = asyncio.get_running_loop().call_later(CLAIM_AFTER_SECONDS, self._begin)
        #: Whether the journal has, or gets, the step's request.
        self.is_written = False

    def settle(self) -> None:
        """Write nothing from now on; what is on its way is stored before all that is written after it."""
        self._is_settled = True
        self._timer.cancel()

    def _begin(self) -> None:
        self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write the claim; that it cannot be stored is told to whoever writes the step's outcome."""
        if self._is_settled:
            return
        self.is_written = True
        claimed = self._step.model_copy(update={"timings": {"provider": CLAIM_AFTER_SECONDS}})
        with suppress(RuntimeFailure):
            await self._journal.write(claimed)
