"""Latency of one execution at a time, and the length of its history."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from temporalio.client import WorkflowHandle

from tests.benchmarks.bare_workflow import BARE_QUEUE, BareWorkflow
from tests.benchmarks.report import Result
from tests.benchmarks.system import PLAIN, System

ROUNDS = 10
IN_A_ROUND = 30


@dataclass
class Latency:
    """Milliseconds from start to result."""

    ours: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])

    def results(self) -> list[Result]:
        """The figures."""
        return [
            Result.of("execution_latency_p50_ms", median(self.ours), "ms", median(self.bare)),
            Result.of("execution_latency_p99_ms", p99(self.ours), "ms", p99(self.bare)),
        ]


async def measure(system: System) -> Latency:
    """Start to result, one at a time, in turns."""
    found = Latency()
    for _ in range(ROUNDS):
        found.bare += await _times(system.run_bare)
        found.ours += await _times(system.run_ours)
    return found


async def history_events(system: System) -> Result:
    """Events of a one-turn execution that the API admitted."""
    execution = await system.api.run(PLAIN, "hello")
    ours = await _events(system, (await system.stack.get(execution))["workflow_id"])
    await system.temporal.execute_workflow(BareWorkflow.run, "hello", id="bare/history", task_queue=BARE_QUEUE)
    return Result.of("history_events", ours, "events", await _events(system, "bare/history")).at_most(11)


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return quantiles(values, n=100, method="inclusive")[98]


async def _times(run: Callable[[str], Awaitable[object]]) -> list[float]:
    times: list[float] = []
    for number in range(IN_A_ROUND):
        began = perf_counter()
        await run(f"number {number}")
        times.append((perf_counter() - began) * 1000)
    return times


async def _events(system: System, workflow_id: str) -> int:
    """Of the closed workflow: a client may know the result a moment earlier."""
    workflow: WorkflowHandle[Any, Any] = system.temporal.get_workflow_handle(workflow_id)
    await workflow.result()
    return len((await workflow.fetch_history()).events)
