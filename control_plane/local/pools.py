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


_Kept = tuple[AddedRuntime, Child]


@dataclass
class PoolKeeper:
    """`children` are the stack's processes: a pool is one of them while it runs."""

    directory: DataDirectory
    service: Callable[[AddedRuntime], Service]
    children: list[Child]
    progress: Progress
    changed: Callable[[], None]
    _kept: dict[str, _Kept] = field(init=False, default_factory=dict[str, _Kept])

    async def keep(self) -> None:
        """Start and stop pools, for ever."""
        while True:
            await self._settle({each.name: each for each in added_runtimes(self.directory)})
            await asyncio.sleep(LOOK_SECONDS)

    async def _settle(self, wanted: dict[str, AddedRuntime]) -> None:
        for name, (runtime, child) in list(self._kept.items()):
            if wanted.get(name) != runtime:
                await child.stop()
                self.children.remove(child)
                del self._kept[name]
                self.changed()
        await asyncio.gather(*(self._start(each) for name, each in wanted.items() if name not in self._kept))

    async def _start(self, runtime: AddedRuntime) -> None:
        """Start a pool; one that does not start is left stopped until its record changes."""
        child = Child(self.service(runtime), self.progress, self.changed)
        self._kept[runtime.name] = runtime, child
        self.children.append(child)
        try:
            await child.start()
        except (ServiceFailed, OSError) as failure:
            self.progress.say(str(failure))
            await child.stop()
