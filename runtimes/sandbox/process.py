"""A process in the sandbox: how it is started, watched and ended. Nothing of a tenant is started in another way."""

import asyncio
import os
import resource
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

from runtimes.sandbox.command_line import Limits, Room, bounded_by_pids, command_line, options_of
from runtimes.sandbox.process_tree import children, kill_children, use_of

#: The environment of the programs that make the sandbox: nothing of the worker's, nothing of a tenant's.
_OUTSIDE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
#: Seconds between two looks at what a command uses, and between two tries to kill it, of which there are so many.
_LOOK = 0.1
_KILL = 0.02
_KILLS = 250
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
        gate = None if bounded_by_pids() else _Gate(room.limits, ours)
        told = _memory("\0".join([*(gate.options if gate else ()), *options_of(room, files)]).encode(), ours)
        process = await asyncio.create_subprocess_exec(
            *command_line(command, room.limits, ("--args", str(told))),
            env=_OUTSIDE,
            cwd="/",
            pass_fds=(told, *files.values(), *(gate.passed if gate else ())),
            **streams,
        )
        if gate is not None:
            await gate.open(process)
        return process


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


class _Gate:
    """Holds a sandbox back until its number of processes is bounded.

    The limit counts in its own user namespace only: outside it would count all processes of the worker's user.
    """

    def __init__(self, limits: Limits, ours: ExitStack) -> None:
        allowed = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        self._most = limits.processes if allowed == resource.RLIM_INFINITY else min(limits.processes, allowed)
        self._waits, self._opens = os.pipe()
        ours.callback(os.close, self._waits)
        ours.callback(os.close, self._opens)

    @property
    def options(self) -> Sequence[str]:
        """What bubblewrap is told."""
        return ("--block-fd", str(self._waits))

    @property
    def passed(self) -> Sequence[int]:
        """Descriptors that it needs."""
        return (self._waits,)

    async def open(self, process: Process) -> None:
        """Set the bound as soon as there is a process to set it for."""
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
