"""The first lines of the `holdfast` command: Ctrl-C while Python loads the others ends it without a word."""

import os
import signal

INTERRUPTED = 130


def main() -> int:
    """Run the command line; gives the exit code, as documented in docs/cli.md."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from control_plane.cli.command_line import run

    signal.signal(signal.SIGINT, before)
    return run()


def _leave(*_: object) -> None:
    os._exit(INTERRUPTED)
