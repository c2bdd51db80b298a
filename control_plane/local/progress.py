"""What the local stack tells the person who started it."""

import sys
from typing import TextIO


class Progress:
    """Lines on stderr, the same on a terminal and in a log file."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream

    def say(self, line: str) -> None:
        """One line of its own."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def step(self, title: str, outcome: str, seconds: float, where: str = "") -> None:
        """A step that is done: what, how it went, how long it took, where it is."""
        self.say(f"  {title:<18} {outcome:<7} {seconds:5.1f} s  {where}".rstrip())
