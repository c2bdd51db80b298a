"""A local stack in the background, and waiting for one; it loads little, for its supervisor loads the rest."""

import os
import subprocess
from collections.abc import Callable
from time import monotonic, sleep

from control_plane.local.child import ServiceFailed, put_aside
from control_plane.local.directory import DataDirectory
from control_plane.local.processes import holdfast_command
from control_plane.local.state import StackPhase, StackState, running_stack

POLL = 0.1
#: Seconds that a start may take.
START_SECONDS = 180.0


def start_detached(directory: DataDirectory, options: list[str], echo: Callable[[str], None]) -> StackState:
    """Start a supervisor in a session of its own, repeat what it says, and wait until the stack runs.

    Raises:
        ServiceFailed: it ended before that.
    """
    log = directory.log("supervisor")
    command = [holdfast_command(), "up", "--no-summary", "--data-dir", str(directory.root), *options]
    put_aside(log)
    with log.open("ab") as output, log.open() as said:
        said.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        deadline = monotonic() + START_SECONDS
        while monotonic() < deadline:
            ended = process.poll() is not None
            state = _ready(directory, process)
            for line in said:
                echo(line.rstrip("\n"))
            if state is not None:
                return state
            if ended:
                raise ServiceFailed(f"The supervisor ended with exit code {process.returncode}. Its log: {log}")
            sleep(POLL)
    raise ServiceFailed(f"The stack was not ready after {START_SECONDS:.0f} s. See {log} and `holdfast status`.")


def _ready(directory: DataDirectory, supervisor: subprocess.Popen[bytes]) -> StackState | None:
    """The stack once it runs, under this supervisor or under another one that this one gave way to."""
    state = running_stack(directory)
    if state is None or state.phase is not StackPhase.RUNNING:
        return None
    return state if supervisor.returncode == 0 or state.supervisor.pid == supervisor.pid else None


def wait_until_running(directory: DataDirectory) -> StackState | None:
    """The state once another supervisor's start is over; None if it ended or took too long."""
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline and directory.is_held():
        state = running_stack(directory)
        if state is not None and state.phase is StackPhase.RUNNING:
            return state
        sleep(POLL)
    return None
