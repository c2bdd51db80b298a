"""Runs every body under every runtime and shows the table, in Markdown; writes `.bench/bodies.json`.

`python -m tests.provider_bodies [RUNTIME ...]`; with `--lines` it writes a line of JSON a row, as it does elsewhere.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.environments import ELSEWHERE, python_of
from tests.provider_bodies.table import RUNTIMES, Row, bodies_for, expectations, place

RESULTS = Path(".bench/bodies.json")


async def main(runtimes: Sequence[str], *, as_lines: bool) -> int:
    """The exit code is 1 if anything is not as it has to be."""
    rows: list[Row] = []
    async for row in _all(runtimes or RUNTIMES, here_only=as_lines):
        rows.append(row)
        _tell(row, as_lines=as_lines)
    if not as_lines:
        _write(rows)
    return 1 if any(row.problem for row in rows) else 0


async def _all(runtimes: Sequence[str], *, here_only: bool) -> AsyncGenerator[Row]:
    for runtime in runtimes:
        async for row in _elsewhere(runtime) if runtime in ELSEWHERE and not here_only else _here(runtime):
            yield row


def _tell(row: Row, *, as_lines: bool) -> None:
    if as_lines:
        print(json.dumps(asdict(row)), flush=True)
    elif row.problem:
        print(f"{row.runtime}, {row.body}: {row.problem}", file=sys.stderr, flush=True)


async def _here(runtime: str) -> AsyncGenerator[Row]:
    wanted = expectations()
    async with place() as benches:
        for body in bodies_for(runtime, benches.runtimes):
            yield await benches.row(runtime, body, wanted[body.name])


async def _elsewhere(runtime: str) -> AsyncGenerator[Row]:
    command = (str(python_of(runtime)), "-m", "tests.provider_bodies", runtime, "--lines")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"{"):
            yield Row(**json.loads(line))
    await process.wait()


def _write(rows: Sequence[Row]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    names = list(dict.fromkeys(row.runtime for row in rows))
    cells = {(row.body, row.runtime): row.cell() for row in rows}
    print(f"| body | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for body in sorted({row.body for row in rows}):
        print(f"| {body} | {' | '.join(cells.get((body, name), '-') for name in names)} |")
    wrong = sum(bool(row.problem) for row in rows)
    print(
        f"\n{len(rows)} rows, {wrong} not as they have to be; an answer or a code, and the model calls; see {RESULTS}"
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(asyncio.run(main([name for name in given if name != "--lines"], as_lines="--lines" in given)))
