"""How bubblewrap is called: what a command in the sandbox sees, and what it may use up."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtimes.errors import ToolsetInvalid

#: Where a command finds the execution's workspace.
WORKSPACE = "/workspace"
#: All that a command gets of an environment, beside what its tool gives it.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
NEED = "Shell tools and started MCP servers need bubblewrap"
REMEDY = (
    "Install bubblewrap 0.8 or newer (apt-get install bubblewrap), where user namespaces are allowed; "
    "in Kubernetes, in a pod that allows them."
)
_USER = "10001"
_MEGABYTE = 1_000_000
_OPEN_FILES = 1024
_ETC = Path(__file__).parent / "etc"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
#: Parts of the system's /etc that programs need and that hold no secrets.
_SYSTEM_ETC = ("ssl/certs", "ssl/openssl.cnf", "ca-certificates", "alternatives", "ld.so.cache", "localtime")
_NETWORK_ETC = ("resolv.conf", "hosts")
#: Root owns the devices, also inside: a read-only mount keeps their modes from being changed.
_GUARD_DEVICES = f'for d in {" ".join(_DEVICES)}; do mount --bind -o ro /dev/$d /dev/$d || exit 1; done; exec "$@"'
#: The kernel lets root have any number of processes, but no more than their PID namespace has numbers; the first 300
#: are given out only once, and a few go to the sandbox itself. Before Linux 6.14 this would bound the whole machine.
_BOUND_PROCESSES = "echo $0 > /proc/sys/kernel/pid_max && "
_PIDS_OF_ITS_OWN = 320
_BOUNDS_SINCE = (6, 14)
_OWN_PIDS = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
#: The first process ends with the command, and with it, at once, all others in the sandbox.
_FIRST = ("/bin/sh", "-c", '"$@"; exit $?', "sh")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a command may use up.

    `memory_mb` bounds each process, all of them together, and the files in /tmp; `cpu_seconds` is for each process.
    """

    cpu_seconds: int = 60
    memory_mb: int = 1024
    processes: int = 128
    file_size_mb: int = 256


@dataclass(frozen=True, slots=True)
class Room:
    """A sandbox for one command: its directory, its limits, and what it sees beside the system's programs."""

    workspace: Path
    limits: Limits = Limits()
    network: bool = False
    readable: Sequence[Path] = ()


def command_line(command: Sequence[str], room: Room) -> list[str]:
    """The arguments that run a command in the sandbox; its environment is that of the caller.

    Raises:
        ToolsetInvalid: there is no bubblewrap.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise ToolsetInvalid(
            "Shell tools (and MCP servers) need bubblewrap, which is not installed on this worker.", hint=REMEDY
        )
    inside = [*_FIRST, *_limited(room.limits), *command]
    return [*_guard(room.limits), program, *_namespaces(room), *_files(room), "--", *inside]


def _guard(limits: Limits) -> Sequence[str]:
    """What only root needs."""
    if os.geteuid() != 0:
        return ()
    if _kernel() < _BOUNDS_SINCE:
        return ("unshare", "--mount", "--", "/bin/sh", "-c", _GUARD_DEVICES, "sh")
    most = str(limits.processes + _PIDS_OF_ITS_OWN)
    return (*_OWN_PIDS, "--", "/bin/sh", "-c", _BOUND_PROCESSES + _GUARD_DEVICES, most)


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


def _namespaces(room: Room) -> Iterator[str]:
    yield from ("--unshare-user", "--unshare-all", "--disable-userns", "--uid", _USER, "--gid", _USER)
    yield from ("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1")
    if room.network:
        yield "--share-net"


def _files(room: Room) -> Iterator[str]:
    size = str(room.limits.memory_mb * _MEGABYTE)
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        yield from _system_directory(Path("/", name))
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
    yield from ("--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev", "--size", size, "--tmpfs", "/tmp")  # noqa: S108
    yield from _etc(room.network)
    for path in room.readable:
        yield from ("--ro-bind", str(path), str(path))
    yield from ("--bind", str(room.workspace), WORKSPACE, "--chdir", WORKSPACE, "--remount-ro", "/")


def _system_directory(path: Path) -> Sequence[str]:
    if path.is_symlink():
        return ("--symlink", str(path.readlink()), str(path))
    return ("--ro-bind", str(path), str(path)) if path.exists() else ()


def _etc(network: bool) -> Iterator[str]:
    own = [path for path in _ETC.iterdir() if not (network and path.name in _NETWORK_ETC)]
    for path in sorted(own):
        yield from ("--ro-bind", str(path), f"/etc/{path.name}")
    for name in (*_SYSTEM_ETC, *(_NETWORK_ETC if network else ())):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


def _limited(limits: Limits) -> Sequence[str]:
    return (
        "prlimit",
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}",
        f"--data={limits.memory_mb * _MEGABYTE}",
        f"--nproc={limits.processes}",
        f"--fsize={limits.file_size_mb * _MEGABYTE}",
        f"--nofile={_OPEN_FILES}",
        "--core=0",
        "--",
    )
