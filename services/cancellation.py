"""The turns that run in this worker, and how each is told to stop."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager

from runtimes.turns import StopReason


class RunningTurn:
    """One attempt at work; the first reason to stop wins."""

    def __init__(self, execution_id: str, attempt: int, runtime: str = "") -> None:
        self.execution_id = execution_id
        self.attempt = attempt
        self.runtime = runtime
        self._stopped = asyncio.get_running_loop().create_future()

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to stop; idempotent."""
        if not self._stopped.done():
            self._stopped.set_result(reason)

    @property
    def reason(self) -> StopReason | None:
        """Why the attempt was told to stop; None if it was not."""
        return self._stopped.result() if self._stopped.done() else None

    @property
    def stopped(self) -> "asyncio.Future[StopReason]":
        """Done as soon as the attempt is told to stop."""
        return self._stopped


class CancellationManager:
    """Finds running turns by execution."""

    def __init__(self) -> None:
        self._turns: dict[str, RunningTurn] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._watchers: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._turns)

    @contextmanager
    def running(self, turn: RunningTurn) -> Generator[RunningTurn]:
        """Keep a turn findable while the body runs; a newer attempt shuts out an older one here too."""
        older = self._turns.get(turn.execution_id)
        if older is not None:
            older.stop(StopReason.FENCED)
        self._turns[turn.execution_id] = turn
        self._idle.clear()
        self._tell()
        try:
            yield turn
        finally:
            if self._turns.get(turn.execution_id) is turn:
                del self._turns[turn.execution_id]
            if not self._turns:
                self._idle.set()
            self._tell()

    def stop(self, execution_id: str, attempt: int, reason: StopReason) -> bool:
        """Stop one attempt; False if it does not run here."""
        turn = self._turns.get(execution_id)
        if turn is None or turn.attempt != attempt:
            return False
        turn.stop(reason)
        return True

    def cancel(self, execution_id: str) -> bool:
        """Cancel whatever attempt of the execution runs here; False if none does."""
        turn = self._turns.get(execution_id)
        return turn is not None and self.stop(execution_id, turn.attempt, StopReason.CANCEL)

    def stop_all(self, reason: StopReason) -> None:
        """Stop every turn."""
        for turn in list(self._turns.values()):
            turn.stop(reason)

    def runtimes(self) -> list[str]:
        """The runtime of each turn that runs."""
        return [turn.runtime for turn in self._turns.values()]

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a turn begins or ends."""
        self._watchers.append(changed)

    def _tell(self) -> None:
        for changed in self._watchers:
            changed()

    async def idle(self) -> None:
        """Return as soon as no turn runs."""
        await self._idle.wait()
