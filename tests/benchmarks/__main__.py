"""`python -m tests.benchmarks`: measures the whole system beside a bare Temporal workflow.

Prints a table and writes `.bench/results.json`. A missed bar is a finding, not a failure: the exit code is 0 unless
something could not be measured.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from time import monotonic

import uvloop
from rich.console import Console

from tests.benchmarks import (
    cancels,
    claude,
    concurrency,
    fairness,
    first_token,
    gateway,
    hostile,
    latency,
    resumes,
    throughput,
    tool_calls,
)
from tests.benchmarks.report import Result, show, show_cpu, write
from tests.benchmarks.system import running_system
from tests.benchmarks.throughput import Throughput

#: Seconds after which something hangs, also on a busy machine.
LIMIT = 1200
#: Columns of a log.
WIDTH = 120
#: Busy cores of other programs from which on figures cannot be trusted.
NOISE = 0.2


async def run(console: Console, *, profile: bool) -> list[Result]:
    """Measure everything once.

    Raises:
        TimeoutError: it took longer than `LIMIT`.
    """
    async with asyncio.timeout(LIMIT), running_system() as system:
        console.print("Everything runs. Measuring, ours and bare in turns …")
        memory = concurrency.begin(system)
        rates = await throughput.measure(system)
        idle = await latency.measure(system)
        tokens = await first_token.measure(system)
        models = await gateway.measure(system.stack.model_url)
        history = await latency.history_events(system)
        await concurrency.measure(system, memory)
        native = await concurrency.measure_native(system)
        tools = await tool_calls.measure(system)
        stops = await cancels.measure(system)
        queue = await fairness.measure(system)
        attacks = await hostile.measure(system)
        kills = await resumes.measure(system)
        cli = await claude.measure(system)
    _tell(console, rates, tokens.story(), profile=profile)
    parts = (rates, idle, tokens, models, memory, native, tools, stops, queue, attacks, kills, cli)
    return [*(result for part in parts for result in part.results()), history]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--profile", action="store_true", help="print CPU time per execution and process")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    began = monotonic()
    results = uvloop.run(run(console, profile=options.profile))
    show(console, results)
    write(results)
    console.print(f"Written to .bench/results.json after {monotonic() - began:.0f} s.")
    return 0


def _tell(console: Console, rates: Throughput, story: list[tuple[str, float]], *, profile: bool) -> None:
    console.print("First token, medians from POST on:")
    for moment, milliseconds in story:
        console.print(f"  {milliseconds:7.1f} ms  {moment}")
    ours, bare = rates.ours_spent, rates.bare_spent
    shares = f"ours {ours.share('driver'):.0%}, bare {bare.share('driver'):.0%}"
    console.print(f"The driver's share of the CPU time: {shares}.")
    if (foreign := max(ours.foreign_cores, bare.foreign_cores)) > NOISE:
        console.print(f"[yellow]Other programs kept {foreign:.1f} cores busy: the figures are noisy.")
    if profile:
        show_cpu(console, "CPU per execution at full load", [("ours", ours), ("bare", bare)])


if __name__ == "__main__":
    raise SystemExit(main())
