"""One process of the local stack: started, watched, started again, stopped."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic

from control_plane.local.ports import is_free
from control_plane.local.processes import dying_with_parent, has_ended, identify, kill_group, listens
from control_plane.local.progress import Progress
from control_plane.local.state import ProcessPhase, ProcessState

#: Seconds between two looks at whether a starting process is ready, unless it says otherwise.
PROBE_INTERVAL = 0.05
#: Back-off between restarts, in seconds; it begins anew after a process has lived for a while.
FIRST_DELAY, LONGEST_DELAY, LIVED_LONG = 0.5, 10.0, 60.0
#: A log file longer than this (bytes) is put aside when its process starts.
LONG_LOG = 10 * 1024 * 1024


class ServiceFailed(Exception):
    """A process did not become ready; the message says how it ended and shows the end of its log."""


class PortTaken(ServiceFailed):
    """A process ended because another program has its port."""


def _nothing() -> None:
    """Neither preparation nor tidying."""


@dataclass(frozen=True)
class Service:
    """What to run and how to know that it works; times in seconds.

    `ready` gets the process's number and when it was started; `prepare` goes before each start, `tidy`
    after the last end. `account` is the user and group that it
    runs as, where that is not our own. `ports` are those at which the process itself has to listen: what answers
    there may be another program.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[int, datetime], Awaitable[bool]]
    address: str = ""
    note: str = ""
    account: tuple[int, int] | None = None
    ports: tuple[int, ...] = ()
    prepare: Callable[[], None] = _nothing
    tidy: Callable[[], None] = _nothing
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    probe_seconds: float = PROBE_INTERVAL
    start_seconds: float = 60.0
    #: Starts that may fail before a stack that is coming up gives up.
    start_tries: int = 4
    #: The same where another program has its port.
    port_tries: int = 2
    stop_seconds: float = 10.0


@dataclass
class Child:
    """A service's process through its restarts; `changed` is called whenever `state` differs."""

    service: Service
    progress: Progress
    changed: Callable[[], None]
    state: ProcessState = field(init=False)
    _process: Process | None = field(init=False, default=None)
    _watch: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        service = self.service
        self.state = ProcessState(name=service.name, title=service.title, address=service.address, log=str(service.log))

    async def start(self) -> None:
        """Start the process, wait until it is ready, and look after it from then on.

        Raises:
            ServiceFailed: it did not become ready, not at the last try either.
            PortTaken: another program has its port.
        """
        for failures in count(1):
            try:
                await self._launch()
                break
            except ServiceFailed as failed:
                is_taken = isinstance(failed, PortTaken)
                if failures >= (self.service.port_tries if is_taken else self.service.start_tries):
                    raise
                await asyncio.sleep(_delay(failures))
        self._watch = asyncio.create_task(self._keep_alive())

    async def stop(self) -> None:
        """End the process, by force if it takes too long."""
        await self.abandon()
        await self._end()
        self.service.tidy()
        self._enter(ProcessPhase.STOPPED)

    async def abandon(self) -> None:
        """Stop looking after the process, and leave it running."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _launch(self) -> None:
        began, started_at = monotonic(), datetime.now(UTC)
        process = self._process = await self._spawn()
        self.state.identity = identify(process.pid)
        self._enter(ProcessPhase.STARTING)
        try:
            await asyncio.wait_for(self._until_ready(process, started_at), self.service.start_seconds)
        except TimeoutError:
            await self._end()
            raise ServiceFailed(self._explain(f"was not ready after {self.service.start_seconds:.0f} s")) from None
        self._enter(ProcessPhase.READY)
        self.progress.step(self.service.title, "ready", monotonic() - began, self.service.note or self.service.address)

    async def _spawn(self) -> Process:
        service = self.service
        service.prepare()
        put_aside(service.log)
        user, group = service.account or (None, None)
        with service.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *service.command,
                env=dict(service.environment),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                cwd=None if user is None else "/",
                preexec_fn=dying_with_parent(service.death_signal),
            )

    async def _until_ready(self, process: Process, started_at: datetime) -> None:
        while not await self._is_ready(process.pid, started_at):
            if has_ended(process.pid):
                raise self._failed(process.pid, await process.wait())
            await asyncio.sleep(self.service.probe_seconds)

    async def _is_ready(self, pid: int, started_at: datetime) -> bool:
        """Whether the process works: it, and no other program in its place."""
        if not await self.service.ready(pid, started_at):
            return False
        return not has_ended(pid) and all(listens(pid, port) for port in self.service.ports)

    def _failed(self, pid: int, code: int) -> ServiceFailed:
        kill_group(pid)
        if taken := [str(port) for port in self.service.ports if not is_free(port)]:
            return PortTaken(self._explain(f"{_ending(code)}: another program has port {', '.join(taken)}"))
        return ServiceFailed(self._explain(_ending(code)))

    async def _keep_alive(self) -> None:
        failures = 0
        while self._process is not None:
            began = monotonic()
            code = await self._process.wait()
            kill_group(self._process.pid)
            failures = 0 if monotonic() - began > LIVED_LONG else failures
            delay = _delay(failures)
            self.progress.say(f"{self.service.title} {_ending(code)}. Starting it again in {delay:.1f} s.")
            self.state.restarts += 1
            self._enter(ProcessPhase.RESTARTING)
            await asyncio.sleep(delay)
            failures = await self._relaunch(failures)

    async def _relaunch(self, failures: int) -> int:
        """Start it again; where no process can even be made, as often as it takes."""
        while True:
            failures += 1
            try:
                await self._launch()
            except ServiceFailed as failed:
                self.progress.say(str(failed))
            except OSError as error:
                self.progress.say(f"{self.service.title} cannot be started: {error}.")
                await asyncio.sleep(_delay(failures))
                continue
            return failures

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            _signal(process, self.service.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), self.service.stop_seconds)
        except TimeoutError:
            self.progress.say(f"{self.service.title} did not stop in {self.service.stop_seconds:.0f} s: killed.")
            _signal(process, signal.SIGKILL)
            await process.wait()
        kill_group(process.pid)

    def _enter(self, phase: ProcessPhase) -> None:
        self.state.phase = phase
        self.changed()

    def _explain(self, what: str) -> str:
        return f"{self.service.title} {what}. The end of {self.service.log}:\n{_tail(self.service.log)}"


def _delay(failures: int) -> float:
    return min(FIRST_DELAY * 2**failures, LONGEST_DELAY)


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def put_aside(log: Path) -> None:
    """Begin a new log where the old one has become long."""
    if log.exists() and log.stat().st_size > LONG_LOG:
        os.replace(log, log.with_suffix(".log.1"))
