"""The sandbox that the Claude Code CLI runs in: bubblewrap, with processes, files and network of its own."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runtimes.errors import ConfigurationInvalid, SandboxUnavailable

#: The workspace's path as the CLI sees it: the same on every worker, so that requests are the same too.
WORKSPACE = "/workspace"
HOME = "/home/agent"
#: Where the CLI finds the relay to the model gateway.
RELAY_SOCKET = "/run/holdfast/model.sock"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CLI = "/run/holdfast/claude"
#: What programs need of the machine. Nothing else of it is visible: no home, no configuration, no other workspace.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl")
_NETWORK = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ca-certificates", "/etc/pki")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What is inside: `files` are open descriptors by the paths that their contents get."""

    cli: Path
    workspace: Path
    relay_socket: Path
    environment: Mapping[str, str]
    files: Mapping[str, int] = field(default_factory=dict[str, int])
    network: bool = False
    directory: str = WORKSPACE

    def command(self, arguments: list[str]) -> list[str]:
        """The command line that runs the CLI inside; its processes end with the caller."""
        return [
            *_base(network=self.network),
            *("--dir", HOME, "--bind", str(self.workspace), WORKSPACE, "--chdir", self.directory),
            *("--ro-bind", str(self.relay_socket), RELAY_SOCKET, "--ro-bind", str(self.cli), _CLI),
            *(part for path, file in self.files.items() for part in ("--file", str(file), path)),
            *(part for name, value in self.environment.items() for part in ("--setenv", name, value)),
            *("--", _CLI, *arguments),
        ]


def make_directory(workspace: Path, below: str) -> None:
    """Make a directory in the workspace, through no link: those are the agent's own.

    Raises:
        ConfigurationInvalid: there is something else in the way.
    """
    at = os.open(workspace, _DIRECTORY)
    try:
        for name in filter(None, below.split("/")):
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=at)
            inner = os.open(name, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
    except OSError as error:
        raise ConfigurationInvalid(f"cwd '{below}' is no directory of the workspace: {error.strerror}.") from error
    finally:
        os.close(at)


async def check() -> None:
    """Start the sandbox once.

    Raises:
        SandboxUnavailable: it does not start here; nothing is ever run outside of it.
    """
    process = await asyncio.create_subprocess_exec(
        *_base(network=False), "--", "/bin/true", stderr=asyncio.subprocess.PIPE, env={}
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise SandboxUnavailable(f"Claude Code cannot be sandboxed here: {said.decode(errors='replace').strip()[:300]}")


def _base(*, network: bool) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable("Claude Code runs in a sandbox only, and bubblewrap is not installed here.")
    return [
        *(
            program,
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--unshare-user",
            "--uid",
            "1000",
            "--gid",
            "1000",
        ),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox"),
        *([] if network else ["--unshare-net"]),
        *("--tmpfs", "/", "--proc", "/proc", "--dev", "/dev", "--dir", "/tmp", "--dir", "/run/holdfast"),  # noqa: S108  inside
        *(part for path in (*_SYSTEM, *(_NETWORK if network else ())) for part in _visible(path)),
    ]


def _visible(path: str) -> tuple[str, ...]:
    """Symlinks, such as /bin to usr/bin, stay symlinks."""
    if os.path.islink(path):
        return ("--symlink", os.readlink(path), path)
    return ("--ro-bind-try", path, path)
