"""The directories that executions work in, on this worker."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from uuid import UUID

from runtimes.sandbox.trees import DEEPEST, remove_tree

#: Seconds without a change after which nobody comes back: an interactive execution waits for half of it at most.
ABANDONED = 48 * 3600.0
SWEEP_SECONDS = 3600.0


class Workspaces:
    """One directory per execution; a turn that goes on at another worker finds an empty one there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, execution_id: str) -> Path:
        """Where an execution's files are, whether or not there are any."""
        return self._root / execution_id

    async def sweep_now_and_then(self) -> NoReturn:
        """Remove what executions left behind whose end this worker did not see."""
        while True:
            await asyncio.to_thread(self.sweep)
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self) -> None:
        """Remove the workspaces in which nothing has changed for long; other directories stay."""
        with suppress(FileNotFoundError):
            for workspace in list(self._root.iterdir()):
                if _is_execution(workspace.name) and time.time() - _changed_at(workspace) > ABANDONED:
                    remove_tree(workspace)


def make(workspace: Path) -> None:
    """Make sure that the directory is there, and note that it is used."""
    workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.utime(workspace)


async def remove(workspace: Path) -> None:
    """Remove the directory, if it is there."""
    await asyncio.to_thread(remove_tree, workspace)


def _is_execution(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _changed_at(workspace: Path) -> float:
    return max(_times(workspace), default=time.time())


def _times(workspace: Path) -> Iterator[float]:
    """List the moments at which the files of a workspace were changed, as far down as anything is kept."""
    for directory, inner, files in os.walk(workspace):
        if len(Path(directory).parts) - len(workspace.parts) >= DEEPEST:
            inner.clear()
        for path in (directory, *(os.path.join(directory, name) for name in files)):
            with suppress(FileNotFoundError):
                yield os.lstat(path).st_mtime
