"""What the processes of a Claude Code turn take of memory."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median

import psutil

from tests.benchmarks.cpu import MIB
from tests.benchmarks.report import Result
from tests.benchmarks.system import CLAUDE, System

TURNS = 3
PROMPT = "[[emit 100 @20]]"


@dataclass
class Memory:
    """The most that each turn's processes had, in MiB: all that is resident, and what nobody shares."""

    resident: dict[int, float] = field(default_factory=dict[int, float])
    private: dict[int, float] = field(default_factory=dict[int, float])

    def results(self) -> list[Result]:
        """The figures: medians of turns."""
        return [
            Result.of("claude_process_rss_mb", median(self.resident.values()), "MiB"),
            Result.of("claude_process_private_mb", median(self.private.values()), "MiB"),
        ]

    def look(self, worker: psutil.Process) -> None:
        """Each child of the worker is the first process of a turn's sandbox."""
        for first in worker.children():
            _raise(self.resident, first, lambda process: process.memory_info().rss)
            _raise(self.private, first, lambda process: process.memory_full_info().uss)


async def measure(system: System) -> Memory:
    """Several turns at once, watched from their start to their end."""
    found = Memory()
    async with system.worker("claude_code") as worker:
        await system.api.run(CLAUDE, "[[say ready]]")
        turns = asyncio.gather(*(system.api.run(CLAUDE, PROMPT) for _ in range(TURNS)))
        while not turns.done():
            found.look(psutil.Process(worker.pid))
            await asyncio.sleep(0.2)
        await turns
    return found


def _raise(most: dict[int, float], first: psutil.Process, memory: Callable[[psutil.Process], int]) -> None:
    now = 0
    with suppress(psutil.NoSuchProcess):
        for process in (first, *first.children(recursive=True)):
            now += memory(process)
    most[first.pid] = max(most.get(first.pid, 0.0), now / MIB)
