"""A local stack as its user sees it: `holdfast` in a directory, and the processes that it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
FOREIGN = ("HOLDFAST_", "TEMPORAL_", "OPENAI_", "ANTHROPIC_")
SECONDS = 100.0


@dataclass(frozen=True)
class StackAtWork:
    """One data directory; `prefix` is a command that runs ours, as somebody else for instance."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    prefix: tuple[str, ...] = ()

    def __call__(self, *arguments: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, within so many seconds."""
        return subprocess.run(
            [*self.prefix, HOLDFAST, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            env=self._environment(),
            cwd=self.directory.parent,
        )

    @contextmanager
    def foreground(self, *options: str, ignored: Sequence[signal.Signals] = ()) -> Generator[subprocess.Popen[bytes]]:
        """Start it in the foreground, as who ignores these signals does."""
        with self.started("up", *options, ignored=ignored) as process:
            yield process

    @contextmanager
    def started(self, *command: str, ignored: Sequence[signal.Signals] = ()) -> Generator[subprocess.Popen[bytes]]:
        """Start a command, and end it at the end."""
        with subprocess.Popen(
            [*_ignoring(ignored), *self.prefix, HOLDFAST, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment(),
            cwd=self.directory.parent,
        ) as process:
            try:
                yield process
            finally:
                process.terminate()

    def json(self, *arguments: str) -> Any:
        """What a command prints with `-o json`."""
        done = self(*arguments, "-o", "json")
        assert done.returncode in {0, 10}, done.stderr
        return json.loads(done.stdout)

    def up(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Start it in the background."""
        done = self("up", "-d", *options)
        assert done.returncode == 0, done.stderr
        return done

    def up_twice(self) -> list[subprocess.CompletedProcess[str]]:
        """Start it in the background, twice at the same moment."""
        with ThreadPoolExecutor() as pool:
            return [started.result() for started in [pool.submit(self, "up", "-d") for _ in range(2)]]

    def process(self, name: str) -> dict[str, Any]:
        """One of its processes as `status` shows it."""
        return next(one for one in self.json("status")["processes"] if one["name"] == name)

    def processes(self) -> list[psutil.Process]:
        """The supervisor, and all that it started."""
        supervisor = psutil.Process(self.json("status")["supervisor"]["pid"])
        return [supervisor, *supervisor.children(recursive=True)]

    def kill(self, name: str) -> None:
        """SIGKILL one process and wait until it was started again."""
        before = self.process(name)
        os.kill(before["identity"]["pid"], signal.SIGKILL)
        until(lambda: self._is_back(name, before["restarts"]))

    def _is_back(self, name: str, restarts: int) -> bool:
        now = self.process(name)
        return now["restarts"] > restarts and now["phase"] == "ready"

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return kept | {"HOLDFAST_DATA_DIR": str(self.directory)} | dict(self.environment)


def _ignoring(signals: Sequence[signal.Signals]) -> list[str]:
    """Write the start of a program that ignores signals, as a shell starts its jobs in the background."""
    names = " ".join(number.name.removeprefix("SIG") for number in signals)
    return ["sh", "-c", f'trap "" {names}; exec "$@"', "sh"] if signals else []


def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.1)


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
