"""Executions per second in a closed loop, ours and bare in turns."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from tests.benchmarks.cpu import Meter, Spent
from tests.benchmarks.report import Result
from tests.benchmarks.system import System

#: Both paths are saturated by 20 on two cores; more only makes the queue longer.
IN_FLIGHT = 20
ROUNDS = 6
#: Until as many end as begin; longer than one execution takes at full load.
RAMP_SECONDS = 2.0
ROUND_SECONDS = 5.0

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
        await _rate(run, system.meter, Spent())
    found = Throughput()
    for _ in range(ROUNDS):
        found.bare.append(await _rate(system.run_bare, system.meter, found.bare_spent))
        found.ours.append(await _rate(system.run_ours, system.meter, found.ours_spent))
    return found


async def _rate(run: Run, meter: Meter, spent: Spent) -> float:
    """What ends per second once as many are under way at the beginning as at the end."""
    stop = asyncio.Event()
    loops = [asyncio.create_task(_loop(run, stop)) for _ in range(IN_FLIGHT)]
    await asyncio.sleep(RAMP_SECONDS)
    before = meter.read()
    await asyncio.sleep(ROUND_SECONDS)
    after = meter.read()
    stop.set()
    ends = [end for ends in await asyncio.gather(*loops) for end in ends]
    completed = sum(before.at < end <= after.at for end in ends)
    spent.add(before, after, completed)
    return completed / (after.at - before.at)


async def _loop(run: Run, stop: asyncio.Event) -> list[float]:
    ends: list[float] = []
    while not stop.is_set():
        await run(f"number {len(ends)}")
        ends.append(perf_counter())
    return ends
