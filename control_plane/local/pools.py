"""Keeps the pools of added runtimes running in a local stack, as their records want them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.local.added import AddedRuntime, added_runtimes
from control_plane.local.child import Child, Service, ServiceFailed
from control_plane.local.directory import DataDirectory
from control_plane.local.progress import Progress

#: Seconds between two looks at the records.
LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class _Kept:
    """A pool, and the task in which it starts."""

    runtime: AddedRuntime
    child: Child
    starting: asyncio.Task[None]


@dataclass
class PoolKeeper:
    """`children` are the stack's processes: a pool is one of them while it runs."""

    directory: DataDirectory
    service: Callable[[AddedRuntime], Service]
    children: list[Child]
    progress: Progress
    changed: Callable[[], None]
    _kept: dict[str, _Kept] = field(init=False, default_factory=dict[str, _Kept])
    _changes: dict[str, asyncio.Task[None]] = field(init=False, default_factory=dict[str, asyncio.Task[None]])

    async def keep(self) -> None:
        """Start and stop pools, for ever; each by itself, so that none waits for another."""
        try:
            while True:
                self._settle({each.name: each for each in added_runtimes(self.directory)})
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await _ended(*self._changes.values(), *(kept.starting for kept in self._kept.values()))

    def _settle(self, wanted: dict[str, AddedRuntime]) -> None:
        for name in (self._kept.keys() | wanted.keys()) - self._changes.keys():
            kept = self._kept.get(name)
            if (kept.runtime if kept else None) != wanted.get(name):
                self._changes[name] = asyncio.create_task(self._change(name, wanted.get(name)))

    async def _change(self, name: str, wanted: AddedRuntime | None) -> None:
        """Stop the pool that is there, also in the middle of its start, and begin with the one that is wanted."""
        try:
            if kept := self._kept.get(name):
                await _ended(kept.starting)
                await kept.child.stop()
                self.children.remove(kept.child)
                del self._kept[name]
                self.changed()
            if wanted is not None:
                self._begin(wanted)
        finally:
            del self._changes[name]

    def _begin(self, runtime: AddedRuntime) -> None:
        child = Child(self.service(runtime), self.progress, self.changed)
        self.children.append(child)
        self._kept[runtime.name] = _Kept(runtime, child, asyncio.create_task(self._start(child)))

    async def _start(self, child: Child) -> None:
        """Start a pool; one that does not start is left stopped until its record changes."""
        try:
            await child.start()
        except (ServiceFailed, OSError) as failure:
            self.progress.say(str(failure))
            await child.stop()


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
