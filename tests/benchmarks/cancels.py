"""How long a turn goes on after its cancel: until its model call is cut off, until the process of its tool is gone."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any
from uuid import uuid4

import psutil

from tests.benchmarks.latency import p99
from tests.benchmarks.report import Result
from tests.benchmarks.system import AGNO, SHELL, System

#: So many at once, each a cancelled model call and a cancelled tool at a time.
LANES = 4
ROUNDS = 6
#: Seconds between two looks whether something has ended.
LOOK = 0.002

Cancel = Callable[[str], Awaitable[Any]]


@dataclass
class Cancels:
    """Milliseconds by the way that the cancel took: through our API, or through Temporal alone."""

    api: list[float] = field(default_factory=list[float])
    temporal: list[float] = field(default_factory=list[float])

    def results(self) -> list[Result]:
        """The figures."""
        return [
            Result.of("cancel_api_p50_ms", median(self.api), "ms").at_most(200),
            Result.of("cancel_api_p99_ms", p99(self.api), "ms").at_most(2000),
            Result.of("cancel_temporal_p50_ms", median(self.temporal), "ms").at_most(1000),
            Result.of("cancel_temporal_p99_ms", p99(self.temporal), "ms").at_most(2000),
        ]


async def measure(system: System) -> Cancels:
    """Both ways, one after the other."""

    async def through_temporal(execution: str) -> None:
        await system.stack.temporal.get_workflow_handle(f"agent-execution/{execution}").cancel()

    async with system.worker("native"):
        return Cancels(await _all(system, system.api.cancel), await _all(system, through_temporal))


async def _all(system: System, cancel: Cancel) -> list[float]:
    lanes = await asyncio.gather(*(_lane(system, cancel) for _ in range(LANES)))
    return [milliseconds for lane in lanes for milliseconds in lane]


async def _lane(system: System, cancel: Cancel) -> list[float]:
    times: list[float] = []
    for _ in range(ROUNDS):
        times += await asyncio.gather(_model_call(system, cancel), _tool(system, cancel))
    return times


async def _model_call(system: System, cancel: Cancel) -> float:
    """A call that nothing comes of."""
    marker = uuid4().hex
    execution = await system.api.start(AGNO, f"{marker} [[hang]]")
    while not await system.model.calls(marker):
        await asyncio.sleep(LOOK)
    began = await _cancelled(execution, cancel)
    while not (ended := (await system.model.calls(marker))[0]["finished_at"]):
        await asyncio.sleep(LOOK)
    await system.api.result(execution)
    return (datetime.fromisoformat(ended).timestamp() - began) * 1000


async def _tool(system: System, cancel: Cancel) -> float:
    """A command that does not end by itself."""
    seconds = f"1000.{uuid4().int}"
    execution = await system.api.start(SHELL, f'[[tool shell {{"command": "sleep {seconds}; true"}}]]')
    while (process := _running(["sleep", seconds])) is None:
        await asyncio.sleep(0.02)
    began = await _cancelled(execution, cancel)
    while process.is_running():
        await asyncio.sleep(LOOK)
    ended = time.time()
    await system.api.result(execution)
    return (ended - began) * 1000


async def _cancelled(execution: str, cancel: Cancel) -> float:
    """Cancel at any moment between two heartbeats; gives when that was."""
    await asyncio.sleep(random.random())
    began = time.time()
    await cancel(execution)
    return began


def _running(command: list[str]) -> psutil.Process | None:
    return next((each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == command), None)
