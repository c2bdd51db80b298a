"""How long a turn stands still when its worker is killed."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from uuid import uuid4

from tests.benchmarks.report import Result
from tests.benchmarks.system import HEARTBEAT_TIMEOUT, TOOLS, System
from tests.stack import Process

KILLS = 3
TURNS = 4
#: A tool call that is done, and an answer that is far from its end when the worker dies.
SCRIPT = '[[tool add {"first": 1, "second": 2};; emit 1000 @20]]'
CALLS_BEFORE = 2


@dataclass
class Resumes:
    """Seconds from `kill -9` to the model call that had not been made before, a value per turn."""

    seconds: list[float] = field(default_factory=list[float])

    def results(self) -> list[Result]:
        """The figures; the baseline is the heartbeat timeout."""
        bar = HEARTBEAT_TIMEOUT + 2
        return [
            Result.of("resume_after_kill_s", median(self.seconds), "s", HEARTBEAT_TIMEOUT).at_most(bar),
            Result.of("resume_after_kill_max_s", max(self.seconds), "s", HEARTBEAT_TIMEOUT).at_most(bar),
        ]


async def measure(system: System) -> Resumes:
    """Kill one worker after the other, each while another one of its pool is idle."""
    found = Resumes()
    worker = await system.start_worker("native", "killed-0")
    for number in range(KILLS):
        worker = await _killed(system, worker, f"killed-{number + 1}", found)
    await asyncio.to_thread(worker.stop)
    return found


async def _killed(system: System, worker: Process, heir: str, found: Resumes) -> Process:
    """Kill the worker that has all turns; gives the one that took them over."""
    markers = [uuid4().hex for _ in range(TURNS)]
    executions = [await system.api.start(TOOLS, f"{marker} {SCRIPT}") for marker in markers]
    for marker in markers:
        await _calls(system, marker, CALLS_BEFORE)
    other = await system.start_worker("native", heir)
    began = time.time()
    worker.kill()
    for marker in markers:
        found.seconds.append(await _calls(system, marker, CALLS_BEFORE + 1) - began)
    await asyncio.gather(*map(system.api.cancel, executions))
    await asyncio.gather(*map(system.api.result, executions))
    return other


async def _calls(system: System, marker: str, number: int) -> float:
    """When the model was asked for that time; never more often."""
    while len(calls := await system.model.calls(marker)) < number:
        await asyncio.sleep(0.02)
    assert len(calls) == number, calls
    return datetime.fromisoformat(calls[-1]["received_at"]).timestamp()
