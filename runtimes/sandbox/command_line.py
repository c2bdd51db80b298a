"""The command line of bubblewrap: the view of a command in the sandbox, and its limits."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from runtimes.errors import ToolsetInvalid

#: Where a command finds the execution's workspace.
WORKSPACE = "/workspace"
#: All that a command gets of an environment, beside what its room says.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",  # noqa: S108
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
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
_SYSTEM_ETC = (
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "alternatives",
    "ld.so.cache",
    "localtime",
)
_NETWORK_ETC = ("resolv.conf", "hosts")
#: The kernel lets root have any number of processes, but no more than their PID namespace has numbers; the first 300
#: are given out only once, and a few go to the sandbox itself. Before Linux 6.14 this would bound the whole machine.
_BOUND_PROCESSES = "echo $0 > /proc/sys/kernel/pid_max && "
_PIDS_OF_ITS_OWN = 320
_BOUNDS_SINCE = (6, 14)
_OWN_PIDS = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
#: The first process ends with the command, and with it, at once, all others in the sandbox.
_FIRST = ("/bin/sh", "-c", '"$@"; exit $?', "sh")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a command.

    `memory_mb` bounds each process, all of them together, and the files in memory; `cpu_seconds` is for each process.
    `disk_mb` and `files` bound the workspace while a command runs.
    """

    cpu_seconds: int = 60
    memory_mb: int = 1024
    processes: int = 128
    file_size_mb: int = 256
    disk_mb: int = 4096
    files: int = 200_000

    def within(self, most: "Limits | None") -> "Limits":
        """The same, nothing above the most."""
        if most is None:
            return self
        return Limits(*(min(getattr(self, each.name), getattr(most, each.name)) for each in fields(Limits)))


@dataclass(frozen=True, slots=True)
class Room:
    """A sandbox for one command: its directory, its limits, and what it sees beside the system's programs.

    `readable` are directories of the machine, `shown` those or files by the paths that they have inside, `files` new
    files' contents by their paths; `environment` adds to the `ENVIRONMENT`. `home` is kept in memory.
    """

    workspace: Path
    limits: Limits = Limits()
    network: bool = False
    readable: Sequence[Path] = ()
    shown: Mapping[str, Path] = field(default_factory=dict[str, Path])
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    home: str = ENVIRONMENT["HOME"]
    directory: str = WORKSPACE


@cache
def program(name: str) -> str:
    """The absolute path of a program of the worker's own; looked up once, whatever its environment becomes.

    Raises:
        ToolsetInvalid: it is not installed.
    """
    found = shutil.which(name)
    if found is None or not os.path.isabs(found):
        raise ToolsetInvalid(
            f"Commands and MCP servers run in a sandbox only, and '{name}' is not installed on this worker.",
            hint=REMEDY,
        )
    return found


def command_line(command: Sequence[str], limits: Limits, options: Sequence[str]) -> list[str]:
    """The arguments that run a command in a sandbox with bubblewrap's `options`.

    Nothing of it is searched for in a PATH, and nothing of it is a tenant's but the command, which is inside.

    Raises:
        ToolsetInvalid: a program that is needed is not there.
    """
    return [*_guard(limits), *_limited(limits), program("bwrap"), *options, "--", *_FIRST, *command]


def bounded_by_pids() -> bool:
    """Whether the number of processes is bounded by that of their PID namespace: only root can do that."""
    return os.geteuid() == 0 and _kernel() >= _BOUNDS_SINCE


def options_of(room: Room, files: Mapping[str, int]) -> list[str]:
    """Write bubblewrap's options for a room; `files` are open descriptors by the paths of the files made of them.

    Raises:
        ToolsetInvalid: a variable has a name or a value that no environment can hold.
    """
    return [*_variables(room.environment), *_namespaces(room), *_files(room, files)]


def _variables(given: Mapping[str, str]) -> Iterator[str]:
    yield "--clearenv"
    for name, value in {**ENVIRONMENT, **given}.items():
        if not name or "=" in name or "\0" in name:
            raise ToolsetInvalid(f"{name[:100]!r} cannot be the name of an environment variable.")
        if "\0" in value:
            raise ToolsetInvalid(f"The value of the variable '{name[:100]}' must not contain the character U+0000.")
        yield from ("--setenv", name, value)


def _guard(limits: Limits) -> Sequence[str]:
    """Guard the devices where root runs: it owns them, also inside; a read-only mount keeps their modes."""
    if os.geteuid() != 0:
        return ()
    mount, shell, unshare = program("mount"), program("sh"), program("unshare")
    keep_modes = f'for d in {" ".join(_DEVICES)}; do {mount} --bind -o ro /dev/$d /dev/$d || exit 1; done; exec "$@"'
    if not bounded_by_pids():
        return (unshare, "--mount", "--", shell, "-c", keep_modes, "sh")
    most = str(limits.processes + _PIDS_OF_ITS_OWN)
    dying = (program("setpriv"), "--pdeathsig", "KILL", unshare, *_OWN_PIDS)
    return (*dying, "--", shell, "-c", _BOUND_PROCESSES + keep_modes, most)


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


def _namespaces(room: Room) -> Iterator[str]:
    yield from ("--unshare-user", "--unshare-all", "--disable-userns", "--uid", _USER, "--gid", _USER)
    yield from ("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1")
    if room.network:
        yield "--share-net"


def _files(room: Room, files: Mapping[str, int]) -> Iterator[str]:
    size = str(room.limits.memory_mb * _MEGABYTE)
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        yield from _system_directory(Path("/", name))
    yield from ("--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev")
    yield from ("--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108
    for place in sorted({ENVIRONMENT["HOME"], room.home}):
        yield from ("--size", size, "--tmpfs", place)
    yield from _etc(room.network)
    for inside, path in {**{str(path): path for path in room.readable}, **room.shown}.items():
        yield from ("--ro-bind", str(path), inside)
    for inside, descriptor in files.items():
        yield from ("--file", str(descriptor), inside)
    yield from ("--bind", str(room.workspace), WORKSPACE, "--chdir", room.directory, "--remount-ro", "/")


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
    """Limits that are set outside, where no program of a tenant stands in the place of the one that sets them."""
    return (
        program("prlimit"),
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}",
        f"--data={limits.memory_mb * _MEGABYTE}",
        f"--fsize={limits.file_size_mb * _MEGABYTE}",
        f"--nofile={_OPEN_FILES}",
        "--core=0",
        "--",
    )
