"""The pools that are live, and which of their workers can be trusted with a runtime."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from runtimes.manifests.manifest import RuntimeManifest, is_within


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that takes turns of one runtime.

    `version` is its framework's; `versions` is the range of the worker's own manifest, None where it announced none.
    """

    version: str
    versions: str | None = None
    slots: int = 1
    running: int = 0

    def range(self, manifest: RuntimeManifest) -> str:
        """The versions that it is made for: the worker knows best, else what is known here."""
        return manifest.versions if self.versions is None else self.versions

    def strange(self, manifest: RuntimeManifest) -> str:
        """Why it is left out; empty if its framework's version is one that it is made for."""
        wanted = self.range(manifest)
        return "" if is_within(wanted, self.version) else f"{manifest.package} {self.version}, outside {wanted}"


@dataclass(frozen=True, slots=True)
class LivePool:
    """The live workers of a pool that take turns of one runtime.

    `placed` are the executions that are there and want a slot, None where nobody counted.
    """

    pool: str
    task_queue: str
    runtime: str
    workers: tuple[LiveWorker, ...]
    placed: int | None = None

    @property
    def slots(self) -> int:
        """Turns at once."""
        return sum(worker.slots for worker in self.workers)

    @property
    def taken(self) -> int:
        """Slots that are in use or wanted: more than there are, where executions queue."""
        return sum(worker.running for worker in self.workers) if self.placed is None else self.placed

    @property
    def free(self) -> int:
        """Turns that it could take now."""
        return max(0, self.slots - self.taken)

    @property
    def queued(self) -> float:
        """Executions that queue, per slot."""
        return max(0, self.taken - self.slots) / max(1, self.slots)

    def fitting(self, manifest: RuntimeManifest) -> "LivePool":
        """The pool without the workers that are left out."""
        return replace(self, workers=tuple(worker for worker in self.workers if not worker.strange(manifest)))

    def strange(self, manifest: RuntimeManifest) -> str:
        """What its workers have that are left out; empty if none is."""
        found = sorted({strange for worker in self.workers if (strange := worker.strange(manifest))})
        return f"pool {self.pool} has {', '.join(found)}" if found else ""


def roomiest(pools: Iterable[LivePool], runtime: str) -> LivePool | None:
    """The pool with most free slots; where all are full, the one with the shortest queue for its size."""
    return min(pools, key=lambda pool: (-pool.free, pool.queued, pool.pool != runtime, pool.pool), default=None)


def ranges(pools: Iterable[LivePool], manifest: RuntimeManifest) -> list[str]:
    """The versions that left-out workers would have to have."""
    left_out = (worker for pool in pools for worker in pool.workers if worker.strange(manifest))
    return sorted({worker.range(manifest) for worker in left_out})
