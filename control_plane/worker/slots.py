"""How many turns a worker runs at once: as many as its settings say, else as many as its memory holds."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from control_plane.settings import Settings
from runtimes.manifests.manifest import RuntimeManifest

#: What a worker that runs no turns, only workflows, does at once.
WORKFLOW_SLOTS = 100
#: The share of the memory that turns may take.
_SHARE = 0.8
#: What sums of shares may be wrong by.
_ROUNDING = 1e-9
_MEGABYTE = 1_000_000
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(slots=True)
class Capacity:
    """What a worker holds: by runtime, how many turns of that one alone; `is_fixed` if that never changes."""

    turns: Mapping[str, int]
    is_fixed: bool = True
    _watchers: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def change(self, turns: Mapping[str, int]) -> None:
        """Hold so many from now on; what runs already runs on."""
        self.turns = turns
        for changed in self._watchers:
            changed()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the worker holds another number of turns."""
        self._watchers.append(changed)

    @property
    def most(self) -> int:
        """Turns at once if all are of the runtime that takes least."""
        return max(self.turns.values())

    @property
    def is_uniform(self) -> bool:
        """Whether every turn takes the same."""
        return len(set(self.turns.values())) == 1

    @property
    def dearest(self) -> float:
        """The share of the worker that a turn takes whose runtime nobody knows yet."""
        return 1 / min(self.turns.values())

    def taken(self, running: Iterable[str]) -> float:
        """The share of the worker that turns of these runtimes take."""
        return sum(1 / self.turns[name] if name in self.turns else self.dearest for name in running)

    def room(self, taken: float) -> int:
        """How many more turns there is room for, whatever their runtimes."""
        return max(0, int((1 - taken + _ROUNDING) / self.dearest))


def capacity_of(settings: Settings, runtimes: Iterable[RuntimeManifest], free: int) -> Capacity:
    """The capacity of a worker with so many bytes; there is room for one turn in any case."""
    memory = _SHARE * free / _MEGABYTE
    turns = {
        each.name: settings.worker_slots or max(1, min(each.slots, int(memory / each.memory_mb))) for each in runtimes
    }
    return Capacity(turns, is_fixed=settings.frameworks_file is None or settings.worker_slots is not None)


def memory_limit(cgroup: Path = _CGROUP) -> int:
    """Bytes that the machine, or the container, has."""
    total = psutil.virtual_memory().total
    try:
        return min(total, int((cgroup / "memory.max").read_text()))
    except (OSError, ValueError):
        return total


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Bytes that the machine, or the container, has left."""
    free = psutil.virtual_memory().available
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        used -= _given_back(cgroup)
    except (OSError, ValueError):
        return free
    return max(0, min(free, limit - used))


def _given_back(cgroup: Path) -> int:
    """Bytes of files that the kernel keeps for as long as nobody needs the memory."""
    with suppress(OSError):
        lines = (line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return int(dict(lines).get("inactive_file", 0))
    return 0
