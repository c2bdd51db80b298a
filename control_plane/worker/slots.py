"""How many turns a worker runs at once: as many as its settings say, else as many as its memory holds."""

from collections.abc import Iterable
from pathlib import Path

import psutil

from control_plane.settings import Settings
from runtimes.manifests.manifest import RuntimeManifest

#: What a worker that runs no turns, only workflows, does at once.
WORKFLOW_SLOTS = 100
#: The share of the memory that turns may take.
_SHARE = 0.8
_MEGABYTE = 1_000_000
_CGROUP = Path("/sys/fs/cgroup")


def turn_slots(settings: Settings, runtimes: Iterable[RuntimeManifest], free: int) -> int:
    """The slots of a worker with so many bytes: the least that any of its runtimes allows, and never none."""
    if settings.worker_slots is not None:
        return settings.worker_slots
    memory = _SHARE * free / _MEGABYTE
    return max(1, min((min(each.slots, int(memory / each.memory_mb)) for each in runtimes), default=1))


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that the machine, or the container, has left."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):
        return free
    return max(0, min(free, limit - used))
