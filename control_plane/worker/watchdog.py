"""Ends a worker whose event loop is blocked: it serves nobody any more, and holds turns that others could run."""

import asyncio
import faulthandler
import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

import structlog

log = structlog.get_logger(__name__)

#: Seconds between two signs of life.
SIGN_SECONDS = 2.0
#: Seconds without one after which the worker ends itself, with a line in its log and its stacks on stderr.
BLOCKED_SECONDS = 18.0
#: Seconds after which the process ends without a line of log: something holds the interpreter, nothing of ours can run.
HELD_SECONDS = 22.0
#: Exit code of a worker whose event loop or SDK core has hung.
HUNG = 70


class Watchdog:
    """Watches the event loop that its `run` is a task of, from a thread."""

    def __init__(self) -> None:
        self._seen = time.monotonic()
        self._over = threading.Event()

    async def run(self) -> NoReturn:
        """Give signs of life until this is cancelled."""
        self._seen = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._seen = time.monotonic()
                with suppress(ValueError, OSError):
                    faulthandler.dump_traceback_later(HELD_SECONDS, exit=True)
                await asyncio.sleep(SIGN_SECONDS)
        finally:
            self._over.set()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._over.wait(SIGN_SECONDS / 2):
            if time.monotonic() - self._seen > BLOCKED_SECONDS:
                self._end()

    def _end(self) -> NoReturn:
        log.error("the worker's event loop is blocked: the worker ends itself", seconds=BLOCKED_SECONDS)
        sys.stdout.flush()
        with suppress(ValueError, OSError):
            faulthandler.dump_traceback()
        os._exit(HUNG)
