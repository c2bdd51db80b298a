"""What can be done to a local stack from outside: start it detached, stop it, reset it."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

import psutil

from control_plane.local.child import ServiceFailed, put_aside
from control_plane.local.directory import DataDirectory
from control_plane.local.postgres import EmbeddedPostgres, postgres_binaries
from control_plane.local.processes import find, identify
from control_plane.local.services import holdfast_command
from control_plane.local.state import ProcessIdentity, StackPhase, StackState, read_state, running_stack
from control_plane.local.supervisor import end_leftovers

POLL = 0.1
#: Seconds that a start may take, and that a stop may take before the supervisor is killed.
START_SECONDS, STOP_SECONDS = 180.0, 90.0
#: Seconds after SIGKILL.
KILL_SECONDS = 5.0


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


def stop_stack(directory: DataDirectory, say: Callable[[str], None]) -> bool:
    """Stop the stack and whatever an earlier one left behind; the data stays. False if nothing ran."""
    holder = directory.holder()
    supervisor = identify(holder) if holder else None
    if supervisor is None:
        clear_leftovers(directory, say)
        return False
    if not _ends(supervisor, signal.SIGTERM, STOP_SECONDS):
        say("The supervisor does not stop: killing it and its processes.")
        _ends(supervisor, signal.SIGKILL, KILL_SECONDS)
    clear_leftovers(directory, say)
    return True


def _ends(identity: ProcessIdentity, number: signal.Signals, seconds: float) -> bool:
    """Whether the process is gone within so many seconds after the signal; a zombie is."""
    if (process := find(identity)) is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    deadline = monotonic() + seconds
    while find(identity) is not None and monotonic() < deadline:
        sleep(POLL)
    return find(identity) is None


def clear_leftovers(directory: DataDirectory, say: Callable[[str], None]) -> None:
    """End processes whose supervisor is gone, PostgreSQL included."""
    end_leftovers(read_state(directory.state), say)
    if directory.postgres.exists():
        EmbeddedPostgres(directory.postgres, binaries=postgres_binaries(), say=say).clean_up()
