"""The local stack's data directory: what lies where, who may read it, whether it is ours, who holds it."""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import TextIO

MARKER = ".holdfast"
#: Whoever looks at the lock has it for a moment: it is tried so often, with pauses of so many seconds.
LOCK_TRIES, LOCK_PAUSE = 5, 0.05


class DirectoryRefused(Exception):
    """The directory cannot be used; the message says why and what to do."""


class DataDirectory:
    """Paths of one local stack."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.marker = root / MARKER
        self.lock = root / "lock"
        self.state = root / "stack.json"
        self.credentials = root / "credentials.toml"
        self.secrets_key = root / "secrets.key"
        self.postgres = root / "postgres"
        self.temporal = root / "temporal.db"
        self.logs = root / "logs"
        self.runtimes = root / "runtimes"
        #: For their owner alone.
        self.private = (self.credentials, self.secrets_key, self.state)

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.logs / f"{name}.log"

    def runtime(self, name: str) -> Path:
        """Where an added runtime lies: its record, and its environment."""
        return self.runtimes / name

    def is_ours(self) -> bool:
        """Whether a local stack made this directory."""
        return self.marker.is_file()

    def prepare(self) -> None:
        """Make the directory, or check that it is ours.

        Raises:
            DirectoryRefused: it holds something else, or cannot be written.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.is_ours() and any(self.root.iterdir()):
                raise DirectoryRefused(f"{self.root} is not empty and no data directory of Holdfast. Name another one.")
            # PostgreSQL refuses to run as root: its own user must be able to pass through.
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.marker.write_text("Made by `holdfast up`; `holdfast reset` deletes what is in here.\n")
        except OSError as error:
            raise DirectoryRefused(f"{self.root} cannot be used: {error.strerror}. Name another directory.") from error

    def clear(self) -> None:
        """Delete everything in the directory, the marker last.

        Raises:
            DirectoryRefused: it is not ours.
        """
        if not self.is_ours():
            raise DirectoryRefused(f"{self.root} is no data directory of Holdfast: nothing was deleted.")
        for path in sorted(self.root.iterdir(), key=lambda path: path == self.marker):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    @contextmanager
    def held(self) -> Generator[bool]:
        """Hold the directory for one supervisor; gives False if another one holds it."""
        with self.lock.open("a") as file:
            mine = _lock(file)
            if mine:
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
            yield mine

    def holder(self) -> int | None:
        """The process that holds the directory; None if there is none, or it is just taking it."""
        held_by = self.lock.read_text() if self.is_held() else ""
        return int(held_by) if held_by.isdecimal() else None

    def is_held(self) -> bool:
        """Whether a supervisor is alive: the kernel drops its lock with it, whatever its state file says."""
        if not self.lock.exists():
            return False
        with self.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def _lock(file: TextIO) -> bool:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(LOCK_PAUSE)
        else:
            return True
    return False
