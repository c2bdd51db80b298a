"""What can be done to a local stack from outside: stop it, and clear what a dead one left behind."""

import signal
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

import psutil

from control_plane.local.directory import DataDirectory
from control_plane.local.postgres import EmbeddedPostgres, postgres_binaries
from control_plane.local.processes import find, identify
from control_plane.local.state import ProcessIdentity, read_state
from control_plane.local.supervisor import end_leftovers

POLL = 0.1
#: Seconds that a stop may take before the supervisor is killed.
STOP_SECONDS = 90.0
#: Seconds after SIGKILL.
KILL_SECONDS = 5.0


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
        postgres = EmbeddedPostgres(directory.postgres, binaries=postgres_binaries(), say=say)
        postgres.clean_up()
        postgres.remove_sockets()
