"""A hundred turns at once in one runtime worker: wall time and memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from time import perf_counter

from tests.benchmarks.report import Result
from tests.benchmarks.system import AGNO, System

TURNS = 100
ROUNDS = 2
MODEL_SECONDS = 1.0
PROMPT = "[[wait 1;; say done]]"
WORKER = "default"


@dataclass
class Concurrency:
    """Seconds and MiB, a value per round; `idle` is the worker's memory before its first turn."""

    idle: float
    turns: list[float] = field(default_factory=list[float])
    clients: list[float] = field(default_factory=list[float])
    peak: float = 0.0

    def results(self) -> list[Result]:
        """The figures."""
        per_turn = (self.peak - self.idle) / TURNS
        return [
            Result.of("worker_rss_mb", self.idle, "MiB"),
            Result("turn_rss_mb", round(per_turn, 3), "MiB", baseline=round(self.idle, 3)).at_most(10),
            Result.of("concurrent_turns_100_wall_s", median(self.turns), "s", MODEL_SECONDS).at_most(1.3),
            Result.of("concurrent_turns_100_client_wall_s", median(self.clients), "s", MODEL_SECONDS),
        ]


def begin(system: System) -> Concurrency:
    """Note the worker's memory while it is idle."""
    return Concurrency(idle=system.meter.rss(WORKER))


async def measure(system: System, found: Concurrency) -> Concurrency:
    """All at once, several times: from the first POST to the last result, and the turns alone."""
    async with _watching(system, found):
        for _ in range(ROUNDS):
            began = perf_counter()
            await asyncio.gather(*(system.api.run(AGNO, PROMPT) for _ in range(TURNS)))
            found.clients.append(perf_counter() - began)
            found.turns.append(await _turns(system))
    return found


async def _turns(system: System) -> float:
    """Seconds from the first turn's start to the last one's end, all being queued when the worker begins."""
    worker = system.stack.processes[WORKER]
    worker.pause()
    try:
        executions = await asyncio.gather(*(system.api.start(AGNO, PROMPT) for _ in range(TURNS)))
        await asyncio.sleep(1)
    finally:
        worker.resume()
    await asyncio.gather(*(system.api.result(execution) for execution in executions))
    spans = [await _span(system, execution) for execution in executions]
    return (max(end for _, end in spans) - min(start for start, _ in spans)).total_seconds()


@asynccontextmanager
async def _watching(system: System, found: Concurrency) -> AsyncGenerator[None]:
    watching = asyncio.create_task(_watch(system, found))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(system: System, found: Concurrency) -> None:
    while True:
        found.peak = max(found.peak, system.meter.rss(WORKER))
        await asyncio.sleep(0.05)


async def _span(system: System, execution: str) -> tuple[datetime, datetime]:
    events = system.api.events(execution, follow=False)
    times = {event.type: datetime.fromisoformat(event.body["created_at"]) async for event in events}
    return times["attempt.started"], times["turn.completed"]
