"""Runs commands that nobody trusts, under bubblewrap and never without it."""

import asyncio
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtimes.errors import ToolsetInvalid
from runtimes.sandbox.command_line import REMEDY, Limits, Room
from runtimes.sandbox.process import end, start, told, watch
from services.sandbox.output import Output

_CHUNK = 64 * 1024
#: Seconds that bubblewrap gets to show that it works here.
_PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to; `stopped` says which limit ended it, if one did."""

    output: str
    exit_code: int
    stopped: str = ""


class Sandbox:
    """One per worker; `readable` are directories that commands may read beside the system's programs.

    `most` is what the worker's operator allows agents to ask for.
    """

    def __init__(self, readable: Sequence[Path] = (), *, network: bool = False, most: Limits | None = None) -> None:
        self.most = most
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
        seconds: float = 120.0,
    ) -> Ran:
        """Run a command to its end, or to its limits; when this returns or raises, none of its processes is left.

        Raises:
            ToolsetInvalid: there is no bubblewrap, or a variable cannot be one.
        """
        process = await start(command, room, stdin=PIPE if stdin else DEVNULL, stdout=PIPE, stderr=STDOUT)
        return await _attended(process, stdin, room, seconds)

    async def _try(self) -> str:
        """What went wrong; empty if all is well."""
        with tempfile.TemporaryDirectory(prefix="holdfast-sandbox-") as empty:
            try:
                ran = await self.run(["/bin/true"], Room(Path(empty)), seconds=_PROBE_SECONDS)
            except OSError as error:
                return str(error)
        return "" if ran.exit_code == 0 else (ran.stopped or ran.output.strip() or f"exit code {ran.exit_code}")


async def _attended(process: Process, stdin: bytes, room: Room, seconds: float) -> Ran:
    output = Output()
    watching = asyncio.create_task(watch(process, room))
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
    return Ran(output.text(), code, stopped or told(watching) or _by_signal(code, room.limits))


async def _feed(process: Process, stdin: bytes) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(stdin)
            await process.stdin.drain()
        process.stdin.close()


async def _drain(process: Process, output: Output) -> None:
    while process.stdout is not None and (data := await process.stdout.read(_CHUNK)):
        output.add(data)


def _by_signal(code: int, limits: Limits) -> str:
    return f"it used up its {limits.cpu_seconds} s of CPU time" if code == _CPU_EXCEEDED else ""


#: 128 and the number of SIGXCPU.
_CPU_EXCEEDED = 152
