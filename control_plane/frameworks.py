"""The frameworks file in a running process: read at the start, and again whenever it changes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import structlog

from control_plane.frameworks_file import read_frameworks, unknown_names
from control_plane.settings import SettingsInvalid
from runtimes.frameworks import FrameworksConfig
from runtimes.registry import RuntimeRegistry

log = structlog.get_logger(__name__)

#: Seconds between two looks at the file.
LOOK_SECONDS = 2.0

#: What tells one version of a file from the next; None where there is no file.
Stamp = tuple[int, int, int] | None


class Frameworks:
    """What the last good version of the file says, and the runtimes that are known by it."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the file, and look for plugins.

        Raises:
            SettingsInvalid: the file cannot be used, and there is no earlier version.
        """
        self._path = path
        self._stamp = _stamp(path)
        self._use(FrameworksConfig() if path is None else read_frameworks(path))

    def _use(self, config: FrameworksConfig) -> None:
        self.registry = RuntimeRegistry.discover(config)
        self.config = config

    def log_findings(self) -> None:
        """Say in the log which plugins are broken, and which names nobody knows."""
        for broken in self.registry.broken:
            log.warning("plugin is broken", **broken._asdict())
        for sentence in unknown_names(self.config, self.registry):
            log.warning("frameworks file", file=str(self._path), warning=sentence)

    def refresh(self) -> bool:
        """Read the file again if it is another one; True if it is in force now."""
        stamp = _stamp(self._path)
        if self._path is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._use(read_frameworks(self._path))
        except SettingsInvalid as invalid:
            log.error("frameworks file cannot be used: the last good version stays", problems=invalid.problems)
            return False
        log.info("frameworks file read again", file=str(self._path))
        self.log_findings()
        return True

    async def watch(self, changed: Callable[[FrameworksConfig], None] | None = None) -> NoReturn:
        """Look at the file now and then; `changed` hears of each new version. What goes wrong is logged."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if self.refresh() and changed is not None:
                    changed(self.config)
            except Exception:
                log.exception("frameworks file cannot be used: the last good version stays", file=str(self._path))


def _stamp(path: Path | None) -> Stamp:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
