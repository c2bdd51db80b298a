"""Directories that a tenant's commands have made, as deep as they like: removed without going down."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from uuid import uuid4

#: Directories within one another that are kept, counted and looked at; deeper ones are refused.
DEEPEST = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it, as far as it can be; no link is followed.

    Directories inside are moved up before they are emptied: neither the stack nor the open files grow with the depth.
    """
    with suppress(OSError):
        top = os.open(path, _DIRECTORY)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(path)


def _empty(top: int) -> None:
    names = (f".{uuid4().hex}-{number}" for number in count())
    waiting = _cleared(top, top, names)
    while waiting:
        name = waiting.pop()
        with suppress(OSError):
            directory = os.open(name, _DIRECTORY, dir_fd=top)
            try:
                waiting += _cleared(directory, top, names)
            finally:
                os.close(directory)
            os.rmdir(name, dir_fd=top)


def _cleared(directory: int, top: int, names: Iterator[str]) -> list[str]:
    """Empty a directory; gives the new names of those that were in it, which are in `top` now."""
    with os.scandir(directory) as scanned:
        entries = list(scanned)
    moved: list[str] = []
    for entry in entries:
        with suppress(OSError):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=directory)
                continue
            os.chmod(entry.name, 0o700, dir_fd=directory)
            name = next(names)
            os.rename(entry.name, name, src_dir_fd=directory, dst_dir_fd=top)
            moved.append(name)
    return moved
