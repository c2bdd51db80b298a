"""A command on a terminal of its own, with somebody who reads and types."""

import fcntl
import os
import pty
import subprocess
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.control_plane.cli.conftest import HOLDFAST, Cli

CTRL_C, CTRL_D = b"\x03", b"\x04"


class Dialogue:
    """What the terminal shows and takes."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self._heard = b""

    def hear(self, text: bytes) -> bytes:
        """Wait for a text; gives what came before it."""
        while text not in self._heard:
            piece = self._read()
            assert piece, f"{text!r} never came: {self._heard!r}"
            self._heard += piece
        before, _, self._heard = self._heard.partition(text)
        return before

    def say(self, typed: bytes) -> None:
        """Type, once it is waited for: a Ctrl-C between a prompt and its read would wait for the next key."""
        command = psutil.Process(self._process.pid)
        while command.status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        time.sleep(0.05)
        os.write(self._terminal, typed)

    def end(self) -> int:
        """Wait for the end; gives the exit code."""
        while piece := self._read():
            self._heard += piece
        return self._process.wait(60)

    def _read(self) -> bytes:
        try:
            return os.read(self._terminal, 1024)
        except OSError:
            return b""


@contextmanager
def talking(cli: Cli, *arguments: str) -> Generator[Dialogue]:
    """Run the command; it is killed at the end of the block, should it still run."""
    terminal, end = pty.openpty()
    environment: dict[str, Any] = cli.environment | {"NO_COLOR": "1"}
    with subprocess.Popen(
        [HOLDFAST, *arguments],
        stdin=end,
        stdout=end,
        stderr=end,
        cwd=cli.directory,
        env=environment,
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509  # one ioctl, which takes no lock
    ) as process:
        os.close(end)
        try:
            yield Dialogue(process, terminal)
        finally:
            process.kill()
            os.close(terminal)


def _take_terminal() -> None:
    """Make stdin the session's terminal, so that Ctrl-C typed there is a SIGINT."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
