"""Executions per second in a closed loop, ours and bare in turns."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from tests.benchmarks.cpu import Meter, Spent
from tests.benchmarks.report import Result
from tests.benchmarks.system import System

#: Both paths are saturated from about 25 on; more only makes the queue longer.
IN_FLIGHT = 50
ROUNDS = 8
ROUND_SECONDS = 4.0
WARM_UP_SECONDS = 3.0

Run = Callable[[str], Awaitable[object]]


@dataclass
class Throughput:
    """Rates of each round, in executions per second, and what each path cost."""

    ours: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])
    ours_spent: Spent = field(default_factory=Spent)
    bare_spent: Spent = field(default_factory=Spent)

    def results(self) -> list[Result]:
        """The figures."""
        rate = Result.of("executions_per_second", median(self.ours), "1/s", median(self.bare))
        cpu = Result.of("cpu_ms_per_execution", self.ours_spent.total, "ms", self.bare_spent.total)
        return [rate.ratio_at_least(0.5), cpu]


async def measure(system: System) -> Throughput:
    """Warm up, then measure in turns."""
    for run in (system.run_bare, system.run_ours):
        await _rate(run, system.meter, Spent(), WARM_UP_SECONDS)
    found = Throughput()
    for _ in range(ROUNDS):
        found.bare.append(await _rate(system.run_bare, system.meter, found.bare_spent, ROUND_SECONDS))
        found.ours.append(await _rate(system.run_ours, system.meter, found.ours_spent, ROUND_SECONDS))
    return found


async def _rate(run: Run, meter: Meter, spent: Spent, seconds: float) -> float:
    """What was completed within the time; what is still in flight then is waited for and not counted."""
    before = meter.read()
    deadline = perf_counter() + seconds
    loops = [asyncio.create_task(_loop(run, deadline)) for _ in range(IN_FLIGHT)]
    await asyncio.sleep(seconds)
    after = meter.read()
    completed = sum(await asyncio.gather(*loops))
    spent.add(before, after, completed)
    return completed / seconds


async def _loop(run: Run, deadline: float) -> int:
    completed = 0
    while perf_counter() < deadline:
        await run(f"number {completed}")
        completed += perf_counter() <= deadline
    return completed
