"""A hundred turns at once in one runtime worker: wall time and memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from time import perf_counter

import psutil

from tests.benchmarks.cpu import MIB
from tests.benchmarks.report import Result
from tests.benchmarks.system import AGNO, NATIVE, System
from tests.stack import Process

TURNS = 100
ROUNDS = 2
MODEL_SECONDS = 1.0
TURNS_WALL = f"concurrent_turns_{TURNS}"
PROMPT = "[[wait 1;; say done]]"


@dataclass
class Concurrency:
    """Seconds and MiB, a value per round; `idle` is the worker's memory before its first turn."""

    agent: str
    worker: Process
    prefix: str = ""
    idle: float = 0.0
    turns: list[float] = field(default_factory=list[float])
    clients: list[float] = field(default_factory=list[float])
    peak: float = 0.0

    def results(self) -> list[Result]:
        """The figures."""
        per_turn = (self.peak - self.idle) / TURNS
        return [
            Result.of(f"{self.prefix}worker_rss_mb", self.idle, "MiB"),
            Result(f"{self.prefix}turn_rss_mb", round(per_turn, 3), "MiB", baseline=round(self.idle, 3)).at_most(10),
            Result.of(f"{self.prefix}{TURNS_WALL}_wall_s", median(self.turns), "s", MODEL_SECONDS).at_most(1.3),
            Result.of(f"{self.prefix}{TURNS_WALL}_client_wall_s", median(self.clients), "s", MODEL_SECONDS),
        ]

    def rss(self) -> float:
        """The worker's memory now."""
        return psutil.Process(self.worker.pid).memory_info().rss / MIB


def begin(system: System) -> Concurrency:
    """Note the memory of the `default` pool's worker while it is idle."""
    found = Concurrency(AGNO, system.stack.processes["default"])
    found.idle = found.rss()
    return found


async def measure_native(system: System) -> Concurrency:
    """The same for the `native` runtime."""
    async with system.worker("native") as worker:
        found = Concurrency(NATIVE, worker, "native_")
        found.idle = found.rss()
        return await measure(system, found)


async def measure(system: System, found: Concurrency) -> Concurrency:
    """All at once, several times: from the first POST to the last result, and the turns alone."""
    async with _watching(found):
        for _ in range(ROUNDS):
            began = perf_counter()
            await asyncio.gather(*(system.api.run(found.agent, PROMPT) for _ in range(TURNS)))
            found.clients.append(perf_counter() - began)
            found.turns.append(await _turns(system, found))
    return found


async def _turns(system: System, found: Concurrency) -> float:
    """Seconds from the first turn's start to the last one's end, all being queued when the worker begins."""
    found.worker.pause()
    try:
        executions = await asyncio.gather(*(system.api.start(found.agent, PROMPT) for _ in range(TURNS)))
        await asyncio.sleep(1)
    finally:
        found.worker.resume()
    await asyncio.gather(*(system.api.result(execution) for execution in executions))
    spans = [await _span(system, execution) for execution in executions]
    return (max(end for _, end in spans) - min(start for start, _ in spans)).total_seconds()


@asynccontextmanager
async def _watching(found: Concurrency) -> AsyncGenerator[None]:
    watching = asyncio.create_task(_watch(found))
    try:
        yield
    finally:
        watching.cancel()


async def _watch(found: Concurrency) -> None:
    while True:
        found.peak = max(found.peak, found.rss())
        await asyncio.sleep(0.05)


async def _span(system: System, execution: str) -> tuple[datetime, datetime]:
    events = system.api.events(execution, follow=False)
    times = {event.type: datetime.fromisoformat(event.body["created_at"]) async for event in events}
    return times["attempt.started"], times["turn.completed"]
