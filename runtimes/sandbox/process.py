"""A process in the sandbox: how it is started, watched and ended. Nothing of a tenant is started in another way."""

import asyncio
import os
import resource
import time
from asyncio.subprocess import Process
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

from runtimes.sandbox.command_line import Limits, Room, bounded_by_pids, command_line, options_of
from runtimes.sandbox.disk import use_of_disk
from runtimes.sandbox.process_tree import children, kill_children, shared_use_of, use_of
from runtimes.sandbox.seccomp import filter_of

#: The environment of the programs that make the sandbox: nothing of the worker's, nothing of a tenant's.
_OUTSIDE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
#: Seconds between two looks at what a command uses, and between two tries to kill it, of which there are so many.
_LOOK = 0.1
_KILL = 0.02
_KILLS = 250
#: The same for its disk, where a look takes as long as there are files; so many times that long is none taken.
_LOOK_AT_DISK = 1.0
_SHARE_OF_LOOKING = 20
#: Seconds between two looks for a sandbox that begins.
_BEGIN = 0.002
_MEGABYTE = 1_000_000


async def start(command: Sequence[str], room: Room, **streams: Any) -> Process:
    """Start a command in the sandbox; `streams` are those of `create_subprocess_exec`.

    Raises:
        ToolsetInvalid: a program that is needed is not there, or a variable cannot be one.
    """
    with ExitStack() as ours:
        files = {path: _memory(content, ours) for path, content in room.files.items()}
        gate = _Gate(room.limits, ours)
        options = [*gate.options, *_filter(ours)]
        told = _memory("\0".join([*options, *options_of(room, files)]).encode(), ours)
        process = await asyncio.create_subprocess_exec(
            *command_line(command, room.limits, ("--args", str(told))),
            env=_OUTSIDE,
            cwd="/",
            pass_fds=(told, *files.values(), *(int(option) for option in options if option.isdigit())),
            **streams,
        )
        await gate.open(process)
        return process


def _filter(ours: ExitStack) -> Sequence[str]:
    """Give bubblewrap's options for the filter of system calls, where there is one for this machine."""
    calls = filter_of()
    return () if calls is None else ("--seccomp", str(_memory(calls, ours)))


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


async def undisturbed(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, however often the waiting is cancelled."""
    task, cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def watch(process: Process, room: Room) -> str:
    """Bound what no limit of a single process does; says what was too much.

    Those are the processes of root, too, whom the kernel lets have any number.
    """
    looks = {asyncio.ensure_future(look(process, room)) for look in (_watch_memory, _watch_disk)}
    try:
        done, _ = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for look in looks:
            look.cancel()


async def _watch_disk(process: Process, room: Room) -> str:
    limits, pause = room.limits, _LOOK_AT_DISK
    while True:
        await asyncio.sleep(pause)
        began = time.monotonic()
        files, size = await asyncio.to_thread(use_of_disk, room.workspace, process.pid, limits.files)
        if files > limits.files or size > limits.disk_mb * _MEGABYTE:
            kill_children(process.pid)
            return f"it had more than {limits.files} files or {limits.disk_mb} MB on disk, or nested them too deeply"
        pause = max(_LOOK_AT_DISK, _SHARE_OF_LOOKING * (time.monotonic() - began))


async def _watch_memory(process: Process, room: Room) -> str:
    limits = room.limits
    while True:
        await asyncio.sleep(_LOOK)
        processes, memory = use_of(process.pid, limits.processes + 2)
        if processes > limits.processes:
            kill_children(process.pid)
            return f"it had more than {limits.processes} processes"
        most = limits.memory_mb * _MEGABYTE
        if memory > most and shared_use_of(process.pid, limits.processes + 2) > most:
            kill_children(process.pid)
            return f"it used more than {limits.memory_mb} MB of memory"


def told(watching: "asyncio.Task[str]") -> str:
    """Tell why a watch has stopped the command; empty if it has not."""
    return watching.result() if watching.done() and not watching.cancelled() else ""


class _Gate:
    """Holds a sandbox back until its number of processes is bounded, where a number of PIDs does not bound it.

    The limit counts in its own user namespace only: outside it would count all processes of the worker's user.
    """

    def __init__(self, limits: Limits, ours: ExitStack) -> None:
        allowed = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        self._most = limits.processes if allowed == resource.RLIM_INFINITY else min(limits.processes, allowed)
        self.options: Sequence[str] = ()
        if not bounded_by_pids():
            waits, self._opens = os.pipe()
            ours.callback(os.close, waits)
            ours.callback(os.close, self._opens)
            self.options = ("--block-fd", str(waits))

    async def open(self, process: Process) -> None:
        """Set the bound as soon as there is a process to set it for."""
        if not self.options:
            return
        async with AsyncExitStack() as failing:
            failing.push_async_callback(end, process)
            for pid in await _begun(process):
                with suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_NPROC, (self._most, self._most))
            failing.pop_all()
        os.write(self._opens, b"x")


async def _begun(process: Process) -> list[int]:
    """The first of a sandbox's processes; none of one that has ended."""
    while True:
        inside = [*children(process.pid)]
        if inside or process.returncode is not None:
            return inside
        await asyncio.sleep(_BEGIN)


def _memory(content: bytes, ours: ExitStack) -> int:
    """A file that is nowhere on disk, read from its beginning."""
    descriptor = os.memfd_create("holdfast")
    ours.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
