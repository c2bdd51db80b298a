"""The directory that a turn's socket is in while its sandbox starts, and what killed workers left of them."""

import fcntl
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from runtimes.sandbox.trees import remove_tree

_PREFIX = "holdfast-claude-"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextmanager
def private_directory() -> Generator[Path]:
    """A new directory, locked for as long as this is open, and then removed."""
    path, lock = _locked()
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(lock)


def sweep() -> None:
    """Remove the directories that nobody has locked: the kernel unlocks those of a dead process."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            _remove_unlocked(path)


def _locked() -> tuple[Path, int]:
    """A sweep may take the directory before it is locked: then another one is made."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(path, _OPEN)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)


def _remove_unlocked(path: Path) -> None:
    lock = os.open(path, _OPEN)
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path)
    finally:
        os.close(lock)
