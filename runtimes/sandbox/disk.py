"""A command's use of the disk: the files of its workspace, and those that it holds open although they have no name."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runtimes.sandbox.process_tree import below
from runtimes.sandbox.trees import DEEPEST

_BLOCK = 512


def use_of_disk(workspace: Path, pid: int, most: int) -> tuple[int, int]:
    """Files and bytes; looks at `most` files and no further, and at each file once, whatever its names.

    Directories that are nested too deeply to be looked into count as more files than the most.
    """
    seen: set[int] = set()
    size = 0
    for found in _files(workspace, pid):
        if found is None:
            return most + 1, size
        if found.st_ino not in seen:
            seen.add(found.st_ino)
            size += found.st_blocks * _BLOCK
        if len(seen) > most:
            break
    return len(seen), size


def _files(workspace: Path, pid: int) -> Iterator[os.stat_result | None]:
    yield from _named(workspace)
    for each in below(pid):
        yield from _nameless(each)


def _named(workspace: Path) -> Iterator[os.stat_result | None]:
    """Files and directories, without those that links lead to; what goes meanwhile is not there.

    None: they are nested too deeply.
    """
    waiting = [(str(workspace), 0)]
    while waiting:
        directory, level = waiting.pop()
        if level > DEEPEST:
            yield None
            return
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, level + 1))


def _nameless(pid: int) -> Iterator[os.stat_result]:
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found = os.stat(f"/proc/{pid}/fd/{descriptor}")
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                    yield found
