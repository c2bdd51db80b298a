"""Checks every runtime in every scenario; writes `.bench/conformance.json` and shows the matrix."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from runtimes.manifests.known import KNOWN
from services.conformance.suite import ALL, Result, Stand, check, run, stand
from tests.conformance.places import known_places
from tests.environments import ELSEWHERE, holdfast_of

RESULTS = Path(".bench/conformance.json")
_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


async def main(runtimes: Sequence[str]) -> int:
    """The exit code is 1 if anything failed."""
    results: list[Result] = []
    async with stand() as place:
        for runtime in runtimes or sorted(KNOWN):
            async for result in _checked(place, runtime):
                results.append(result)
                print(_line(result), flush=True)
    _write(results)
    failed = sum(result.outcome == "failed" for result in results)
    print(f"\n{len(results)} results, {failed} failed; see {RESULTS}")
    return 1 if failed else 0


async def _checked(place: Stand, runtime: str) -> AsyncGenerator[Result]:
    async for result in _elsewhere(runtime) if runtime in ELSEWHERE else check(place, runtime):
        yield result
    for wire, model in known_places(KNOWN[runtime]):
        async with place.bench(runtime, wire, model) as bench:
            for scenario in ALL:
                yield replace(await run(bench, scenario), wire=f"{wire}, {model}")


async def _elsewhere(runtime: str) -> AsyncGenerator[Result]:
    """The same suite, out of the runtime's own environment."""
    command = (str(holdfast_of(runtime)), "runtimes", "check", runtime, "-o", "jsonl")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    async for line in process.stdout:
        yield Result(**json.loads(line))
    await process.wait()


def _line(result: Result) -> str:
    where = f"{result.runtime}, {result.wire}"
    return f"{_MARKS[result.outcome]:<7} {where:<24} {result.scenario:<36} {result.seconds:>7.2f} s  {result.detail}"


def _write(results: Sequence[Result]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False) + "\n")


sys.exit(asyncio.run(main(sys.argv[1:])))
