"""The sandbox of the Claude Code CLI: the one that all commands of agents run in, with a home of its own."""

import os
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runtimes.errors import ConfigurationInvalid, SandboxUnavailable, ToolsetInvalid
from runtimes.sandbox.command_line import WORKSPACE, Limits, Room
from runtimes.sandbox.process import start

HOME = "/home/agent"
#: Where the CLI finds the relay to the model gateway, and where itself is.
RELAY_SOCKET = "/run/holdfast/model.sock"
CLI = "/run/holdfast/claude"
#: The CLI lives as long as its turn, and its commands are among its processes.
LIMITS = Limits(cpu_seconds=3600, memory_mb=4096, processes=256, file_size_mb=1024)

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def room_of(
    workspace: Path,
    shown: Mapping[str, Path],
    files: Mapping[str, bytes],
    environment: Mapping[str, str],
    *,
    network: bool,
    most: Limits | None = None,
    directory: str = WORKSPACE,
) -> Room:
    """The CLI's room, within the most that the worker's operator allows; see `Room`."""
    return Room(
        workspace,
        LIMITS.within(most),
        network=network,
        shown=shown,
        files=files,
        environment=environment,
        home=HOME,
        directory=directory,
    )


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
    with tempfile.TemporaryDirectory(prefix="holdfast-sandbox-") as empty:
        room = room_of(Path(empty), {}, {}, {}, network=False)
        try:
            process = await start(["/bin/true"], room, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        except ToolsetInvalid as problem:
            raise SandboxUnavailable(f"Claude Code cannot be sandboxed here: {problem.message}") from problem
        _, said = await process.communicate()
    if process.returncode != 0:
        raise SandboxUnavailable(f"Claude Code cannot be sandboxed here: {said.decode(errors='replace').strip()[:300]}")
