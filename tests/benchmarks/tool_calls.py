"""Tool calls on one worker, each of them journalled by the control plane."""

import asyncio
from dataclasses import dataclass
from time import perf_counter

from tests.benchmarks.report import Result
from tests.benchmarks.system import TOOLS, System

EXECUTIONS = 40
CALLS = 20
IN_FLIGHT = 20
SCRIPT = f'[[repeat-tool {CALLS} add {{"first": 1, "second": 2}};; say done]]'


@dataclass(frozen=True)
class ToolCalls:
    """What one worker did."""

    seconds: float

    def results(self) -> list[Result]:
        """The figures."""
        return [Result.of("tool_calls_per_minute", EXECUTIONS * CALLS * 60 / self.seconds, "1/min").at_least(1000)]


async def measure(system: System) -> ToolCalls:
    """From the first start to the last result; between two tool calls of a turn the model is asked."""
    async with system.worker("native"):
        await system.api.run(TOOLS, SCRIPT)
        free = asyncio.Semaphore(IN_FLIGHT)
        began = perf_counter()
        executions = await asyncio.gather(*(_run(system, free) for _ in range(EXECUTIONS)))
        seconds = perf_counter() - began
    await _check(system, executions[-1])
    return ToolCalls(seconds)


async def _run(system: System, free: asyncio.Semaphore) -> str:
    async with free:
        return await system.api.run(TOOLS, SCRIPT)


async def _check(system: System, execution: str) -> None:
    """The journal has every call with its result."""
    answer = await system.stack.http.get(f"/api/v1/executions/{execution}/steps", params={"limit": 100})
    done = [step for step in answer.json()["items"] if step["kind"] == "tool_call" and step["status"] == "done"]
    assert len(done) == CALLS, answer.text
