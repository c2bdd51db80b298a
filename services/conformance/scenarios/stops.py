"""A turn that is stopped stops everything that it began."""

import asyncio
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from runtimes.turns import TurnStatus
from runtimes.types import Capability
from services.conformance.bench import Bench, Case, Running, Taken, until
from services.conformance.scenario import Mismatch, Scenario, expect, expect_a_place, expect_that

#: Longest time from a cancel to the end of the turn, in seconds; a busy machine needs some of it.
_PROMPT = 5.0
_SHELL = {"claude_code": "Bash"}


async def while_streaming(bench: Bench) -> str:
    running = bench.start(Case("[[emit 2000 @40]]"))
    await running.until(lambda: bool(running.record.pieces))
    return await _call_aborted(bench, running)


async def before_the_first_byte(bench: Bench) -> str:
    running = bench.start(Case("[[hang]]"))
    await running.called()
    return await _call_aborted(bench, running)


async def in_a_tool(bench: Bench) -> str:
    diary = bench.directory / f"diary-{uuid4().hex}"
    running = bench.start(Case(f'[[tool linger {{"path": "{diary}"}};; say never]]', functions=["linger"]))
    await running.until(diary.exists)

    running.cancel()

    taken = await running.taken()
    _expect_stopped(taken)
    expect("the tool", diary.read_text(), "stopped")
    return f"after {taken.seconds:.2f} s"


async def in_a_command(bench: Bench) -> str:
    """A command's whole process tree goes with its turn."""
    seconds = f"6{uuid4().int % 10**8:08}"
    command = f'{{"command": "sleep {seconds} | sleep {seconds}"}}'
    tool = _SHELL.get(bench.runtime, "shell")
    running = bench.start(Case(f"[[tool {tool} {command};; say never]]", toolsets=[{"type": "shell"}]))
    await running.until(lambda: len(_processes(seconds)) > 0)
    if not _processes(seconds):
        ended = await running.taken()
        expect_a_place(ended)
        raise Mismatch(f"the command did not run: {ended.failure or ended.response}")

    running.cancel()

    taken = await running.taken()
    _expect_stopped(taken)
    await _until_gone(seconds)
    expect("processes that are left", _processes(seconds), [])
    return f"after {taken.seconds:.2f} s"


async def _call_aborted(bench: Bench, running: Running) -> str:
    """Cancel a turn in the middle of a model call: the call ends with it."""
    running.cancel()

    taken = await running.taken()
    _expect_stopped(taken)
    calls = await bench.ended_calls(running.marker)
    expect("model calls", [call.outcome for call in calls], ["aborted"])
    return f"after {taken.seconds:.2f} s"


def _expect_stopped(taken: Taken) -> None:
    expect("failure", taken.failure and taken.failure.code, None)
    expect("status", taken.outcome and taken.outcome.status, TurnStatus.INTERRUPTED)
    expect_that(taken.seconds < _PROMPT, f"it took {taken.seconds:.1f} s to stop")


async def _until_gone(word: str, seconds: float = 3.0) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until(lambda: not _processes(word))


def _processes(word: str) -> list[str]:
    """The processes on this machine that have the word as an argument of their own."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in arguments:
            found.append(b" ".join(arguments).decode(errors="replace").strip())
    return found


SCENARIOS = (
    Scenario("cancel while streaming", while_streaming),
    Scenario("cancel before the first byte", before_the_first_byte),
    Scenario("cancel in a tool", in_a_tool, needs=frozenset({Capability.TOOLS})),
    Scenario("cancel in a command", in_a_command, needs=frozenset({Capability.TOOLS})),
)
