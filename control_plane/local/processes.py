"""Processes of the local stack: who is who, and how none is left behind."""

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from control_plane.local.state import ProcessIdentity

#: Two readings of one process's creation time differ by no more (seconds).
SAME_TIME = 1.0
PR_SET_PDEATHSIG = 1


def holdfast_command() -> str:
    """The installed `holdfast` beside this interpreter."""
    beside = Path(sys.executable).with_name("holdfast")
    return str(beside) if beside.is_file() else shutil.which("holdfast") or "holdfast"


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a live process."""
    try:
        return ProcessIdentity(pid=pid, created=psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def find(identity: ProcessIdentity) -> psutil.Process | None:
    """The process if it still lives; never another one that was given its number."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.created) < SAME_TIME
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def has_ended(pid: int) -> bool:
    """Whether a child of ours has ended, also where nobody has asked for its exit code yet."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def listens(pid: int, port: int) -> bool:
    """Whether the process itself listens at a TCP port."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def end(process: psutil.Process, *, with_signal: signal.Signals, seconds: float) -> None:
    """Ask a process to end, then kill it with what is left of its group."""
    try:
        process.send_signal(with_signal)
        process.wait(seconds)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(seconds)
    except psutil.Error:
        pass
    kill_group(process.pid)


def kill_group(leader: int) -> None:
    """Kill what a dead child left in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def dying_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before it becomes its program, so that the kernel ends it with the supervisor.

    Linux only; elsewhere the next start ends what was left behind.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    supervisor = os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)

    return prepare
