"""What a command in the sandbox may use up, and what is left of it: nothing."""

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from runtimes.sandbox.command_line import Limits
from services.sandbox.output import KEPT
from tests.architecture.source import ROOT
from tests.services.sandbox.conftest import Bash

#: Names no other process has.
SLEEP = "sleep 86397"
PROGRAM = """
import asyncio, sys
from pathlib import Path
from runtimes.sandbox.command_line import Room
from services.sandbox.sandbox import Sandbox
asyncio.run(Sandbox().run(["bash", "-c", sys.argv[2]], Room(Path(sys.argv[1]))))
"""


def running(words: str) -> list[int]:
    """Processes whose command line is this."""
    processes = psutil.process_iter(["cmdline"])
    return [process.pid for process in processes if process.info["cmdline"] == words.split()]


async def until(words: str, *, there: bool) -> None:
    """Wait until such processes are there, or gone."""
    async with asyncio.timeout(20):
        while bool(running(words)) is not there:
            await asyncio.sleep(0.02)


async def test_output_and_errors_come_in_order(bash: Bash) -> None:
    ran = await bash("echo one; echo two >&2; echo three; cat; exit 4", stdin=b"four\n")

    assert (ran.output, ran.exit_code, ran.stopped) == ("one\ntwo\nthree\nfour\n", 4, "")


@pytest.mark.parametrize(
    "line", [f"{SLEEP} & echo done", f"setsid {SLEEP} >/dev/null 2>&1 & echo done", f"(({SLEEP} &) &) ; echo done"]
)
async def test_nothing_outlives_the_command(bash: Bash, line: str) -> None:
    ran = await bash(line)

    assert running(SLEEP) == []
    assert ran.output == "done\n"


async def test_a_cancelled_command_is_gone_with_all_that_it_started(bash: Bash) -> None:
    work = asyncio.create_task(bash(f"trap '' TERM INT HUP; setsid {SLEEP} & {SLEEP}"))
    await until(SLEEP, there=True)
    began = time.monotonic()

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert running(SLEEP) == []
    assert time.monotonic() - began < 2


async def test_one_that_is_cancelled_as_it_begins_leaves_nothing(bash: Bash) -> None:
    for delay in (0, 0.001, 0.005, 0.01, 0.02):
        work = asyncio.create_task(bash(SLEEP))
        await asyncio.sleep(delay)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    assert running(SLEEP) == []


async def test_a_killed_worker_takes_its_commands_with_it(bash: Bash, workspace: Path) -> None:
    await bash("true")
    command = f"setsid {SLEEP} & {SLEEP}"
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, workspace, command, cwd=ROOT)
    await until(SLEEP, there=True)

    worker.kill()
    await worker.wait()

    await until(SLEEP, there=False)


async def test_one_that_takes_too_long_is_stopped_and_its_output_kept(bash: Bash) -> None:
    ran = await bash(f"echo begun; {SLEEP}", seconds=0.5)

    assert (ran.output, ran.stopped) == ("begun\n", "after 0.5 s")
    assert running(SLEEP) == []


async def test_one_that_only_computes_is_stopped(bash: Bash) -> None:
    ran = await bash("while :; do :; done", Limits(cpu_seconds=1))

    assert ran.stopped == "it used up its 1 s of CPU time"


async def test_a_fork_bomb_is_bounded(bash: Bash) -> None:
    ran = await bash("bomb() { bomb | bomb & wait; }; bomb", Limits(processes=40), seconds=20)

    if os.geteuid() == 0:
        assert ran.exit_code != 0
    assert "processes" in ran.stopped or "Resource temporarily unavailable" in ran.output


async def test_processes_one_after_another_have_no_bound(bash: Bash) -> None:
    ran = await bash("for i in $(seq 1000); do /bin/true || exit 1; done; echo done", Limits(processes=4))

    assert ran.output == "done\n"


async def test_one_process_gets_no_more_memory_than_it_may(bash: Bash) -> None:
    ran = await bash("head -c 400000000 /dev/zero | tail", Limits(memory_mb=100))

    assert "exhausted" in ran.output or "more than 100 MB" in ran.stopped


async def test_many_processes_together_get_no_more_either(bash: Bash) -> None:
    # Something follows the sleep: in its place the shell, and what it holds, would be gone.
    eater = 'x=$(head -c 70000000 /dev/zero | tr "\\0" x); sleep 20; true'
    ran = await bash(f"for i in 1 2 3 4; do ({eater}) & done; wait", Limits(memory_mb=200), seconds=30)

    assert ran.stopped == "it used more than 200 MB of memory"


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm"])
async def test_files_in_memory_are_bounded(bash: Bash, directory: str) -> None:
    ran = await bash(
        f"cd {directory}; for i in 1 2 3; do head -c 20000000 /dev/zero > $i || exit 7; done", Limits(memory_mb=50)
    )

    assert "No space left" in ran.output


async def test_a_file_of_a_gigabyte_is_not_written(bash: Bash, workspace: Path) -> None:
    ran = await bash("head -c 1000000000 /dev/zero > big", Limits(file_size_mb=5))

    assert ran.exit_code != 0
    assert (workspace / "big").stat().st_size <= 5_000_000


async def test_output_without_end_is_kept_at_both_ends(bash: Bash) -> None:
    ran = await bash("echo first; yes | head -c 50000000; echo last")

    assert ran.output.startswith("first\ny\ny\n")
    assert ran.output.endswith("y\nlast\n")
    assert "bytes are not shown" in ran.output
    assert len(ran.output) < 2.1 * KEPT


@pytest.mark.parametrize(
    "line",
    [
        "for i in $(seq 20); do head -c 5000000 /dev/urandom > $i; done; sleep 20; true",
        'for i in $(seq 3 22); do eval "exec $i<>x; rm x; head -c 5000000 /dev/urandom >&$i"; done; sleep 20; true',
    ],
)
async def test_the_disk_is_bounded_while_a_command_runs(bash: Bash, line: str) -> None:
    ran = await bash(line, Limits(disk_mb=50), seconds=25)

    assert "or 50 MB on disk" in ran.stopped


async def test_so_are_the_files(bash: Bash) -> None:
    ran = await bash("mkdir d; cd d; touch $(seq 500); sleep 20; true", Limits(files=300), seconds=25)

    assert ran.stopped.startswith("it had more than 300 files")
