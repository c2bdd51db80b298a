"""The claim of a model call, written only if the call takes its time."""

import asyncio

from services.control_plane_client.models import Step
from services.journal import Journal

#: Calls that are over by then need no claim: one write instead of two.
CLAIM_AFTER_SECONDS = 0.1


class LazyClaim:
    """Writes the claimed step once the call has lasted a while."""

    def __init__(self, journal: Journal, step: Step) -> None:
        self._journal = journal
        self._step = step
        self._writing: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(CLAIM_AFTER_SECONDS, self._write)

    @property
    def is_written(self) -> bool:
        """Whether the journal has, or gets, the step's request."""
        return self._writing is not None

    async def settle(self) -> None:
        """Write nothing from now on; what is being written is waited for.

        Raises:
            RuntimeFailure: the claim could not be written.
        """
        self._timer.cancel()
        if self._writing is not None:
            await self._writing

    def _write(self) -> None:
        claimed = self._step.model_copy(update={"timings": {"provider": CLAIM_AFTER_SECONDS}})
        self._writing = asyncio.create_task(self._journal.write(claimed))
