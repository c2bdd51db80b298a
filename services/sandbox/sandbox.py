"""Runs commands that nobody trusts, under bubblewrap and never without it."""

import asyncio
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtimes.errors import ToolsetInvalid
from services.sandbox.command_line import ENVIRONMENT, REMEDY, Limits, Room, command_line
from services.sandbox.output import Output
from services.sandbox.process_tree import kill_children, use_of

#: Seconds between two looks at what a command uses, and between two tries to kill it, of which there are so many.
_LOOK = 0.1
_KILL = 0.02
_KILLS = 250
_CHUNK = 64 * 1024
_MEGABYTE = 1_000_000
#: Seconds that bubblewrap gets to show that it works here.
_PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to; `stopped` says which limit ended it, if one did."""

    output: str
    exit_code: int
    stopped: str = ""


class Sandbox:
    """One per worker; `readable` are directories that commands may read beside the system's programs."""

    def __init__(self, readable: Sequence[Path] = (), *, network: bool = False) -> None:
        self.readable = tuple(readable)
        self.network = network
        self._probe: asyncio.Task[str] | None = None

    async def check(self) -> None:
        """Find out, once, whether commands can be run here.

        Raises:
            ToolsetInvalid: they cannot; it says why, and what to do.
        """
        if self._probe is None:
            self._probe = asyncio.ensure_future(self._try())
        if problem := await asyncio.shield(self._probe):
            raise ToolsetInvalid(
                f"Shell tools (and MCP servers) need bubblewrap, which cannot start here: {problem}", hint=REMEDY
            )

    async def run(
        self,
        command: Sequence[str],
        room: Room,
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        seconds: float = 120.0,
    ) -> Ran:
        """Run a command to its end, or to its limits; when this returns or raises, none of its processes is left.

        Raises:
            ToolsetInvalid: there is no bubblewrap.
        """
        process = await asyncio.create_subprocess_exec(
            *command_line(command, room),
            stdin=PIPE if stdin else DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env={**ENVIRONMENT, **(environment or {})},
            cwd="/",
        )
        return await _attended(process, stdin, room.limits, seconds)

    async def _try(self) -> str:
        """What went wrong; empty if all is well."""
        with tempfile.TemporaryDirectory(prefix="holdfast-sandbox-") as empty:
            try:
                ran = await self.run(["/bin/true"], Room(Path(empty)), seconds=_PROBE_SECONDS)
            except OSError as error:
                return str(error)
        return "" if ran.exit_code == 0 else (ran.stopped or ran.output.strip() or f"exit code {ran.exit_code}")


async def end(process: Process) -> None:
    """Kill a sandbox and wait until nothing of it is left.

    Its first process is killed, not bubblewrap: that ends when the kernel has taken down all the others.
    """
    try:
        for _ in range(_KILLS):
            if process.returncode is not None:
                return
            kill_children(process.pid)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _KILL)
    finally:
        if process.returncode is None:
            process.kill()
    await process.wait()


async def _attended(process: Process, stdin: bytes, limits: Limits, seconds: float) -> Ran:
    output = Output()
    watching = asyncio.create_task(watch(process, limits))
    stopped = ""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(_feed(process, stdin), _drain(process, output))
            await process.wait()
    except TimeoutError:
        stopped = f"after {seconds:g} s"
    finally:
        watching.cancel()
        await end(process)
    code = process.returncode or 0
    return Ran(output.text(), code, stopped or told(watching) or _by_signal(code, limits))


async def _feed(process: Process, stdin: bytes) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()


async def _drain(process: Process, output: Output) -> None:
    while process.stdout is not None and (data := await process.stdout.read(_CHUNK)):
        output.add(data)


async def watch(process: Process, limits: Limits) -> str:
    """Bound what no limit of a single process does, and the processes of root, whom the kernel lets have any number."""
    while True:
        await asyncio.sleep(_LOOK)
        processes, memory = use_of(process.pid, limits.processes + 2)
        if processes > limits.processes:
            kill_children(process.pid)
            return f"it had more than {limits.processes} processes"
        if memory > limits.memory_mb * _MEGABYTE:
            kill_children(process.pid)
            return f"it used more than {limits.memory_mb} MB of memory"


def told(watching: "asyncio.Task[str]") -> str:
    """What a watch has stopped, and why; empty if nothing."""
    return watching.result() if watching.done() and not watching.cancelled() else ""


def _by_signal(code: int, limits: Limits) -> str:
    return f"it used up its {limits.cpu_seconds} s of CPU time" if code == _CPU_EXCEEDED else ""


#: 128 and the number of SIGXCPU.
_CPU_EXCEEDED = 152
