"""Whether somebody is there to run what was accepted."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.runtimes.description import own_range
from control_plane.api.runtimes.service import Workers, workers_of
from control_plane.api.schemas import Notice
from db.sql import Sql
from runtimes.live_pools import LivePool, LiveWorker
from runtimes.resolver import deployment

#: Seconds for which what was seen of an organization's workers is not looked at again.
REMEMBERED = 2.0
#: Combinations of status, runtime and queue that are counted, the most frequent ones.
MOST = 1000
_PLACED = Sql("""
    SELECT task_queue, sum(executions)::bigint AS executions FROM holdfast_census(:most)
    WHERE status IN ('queued', 'running') GROUP BY task_queue
""")


def serving(workers: Workers, runtime: str) -> list[Row[Any]]:
    """The workers that take new turns of a runtime."""
    return [
        worker
        for worker in workers
        if worker.kind == "runtime"
        and not is_leaving(worker)
        and any(announced["name"] == runtime for announced in worker.runtimes)
    ]


def is_leaving(worker: Row[Any]) -> bool:
    """Whether the worker takes nothing new, or is about to hear that it is not to."""
    return worker.draining or worker.drain_requested_at is not None


def not_live(runtime: str, waits: str) -> Notice:
    """Nobody is there; `waits` says who waits, and for that."""
    return Notice(
        code="runtime_not_live",
        message=f"No live worker serves the runtime '{runtime}'; {waits} until one does.",
        hint=deployment(runtime),
    )


def pools_of(workers: Workers) -> tuple[LivePool, ...]:
    """The pools that take new turns, one for each of their runtimes."""
    grouped: dict[tuple[str, str, str], list[LiveWorker]] = defaultdict(list)
    for worker, announced in _offers(workers):
        grouped[worker.pool, worker.task_queue, announced["name"]].append(_live(worker, announced))
    return tuple(LivePool(*key, workers=tuple(members)) for key, members in sorted(grouped.items()))


def _offers(workers: Workers) -> Iterator[tuple[Row[Any], Mapping[str, Any]]]:
    for worker in workers:
        if worker.kind == "runtime" and not is_leaving(worker):
            for announced in worker.runtimes:
                yield worker, announced


def _live(worker: Row[Any], announced: Mapping[str, Any]) -> LiveWorker:
    return LiveWorker(announced["version"], own_range(announced), worker.slots, worker.running)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an organization's workers announced, and when it was looked at, by the monotonic clock."""

    at: float
    workers: Workers
    pools: tuple[LivePool, ...]


class LiveWorkers:
    """Remembers for a moment who is live and what is placed where, so that accepting executions costs no query."""

    def __init__(self) -> None:
        self._seen: dict[UUID, Seen] = {}
        self._placed: Counter[str] = Counter()
        self._counted_at = float("-inf")
        #: Set when a worker has come: what waits for a pool may go on.
        self.came = asyncio.Event()

    def has_come(self) -> None:
        """A worker announced itself for the first time: look again."""
        self._seen.clear()
        self.came.set()

    def has_placed(self, task_queue: str) -> None:
        """An execution was placed: it counts at once."""
        self._placed[task_queue] += 1

    async def seen(self, connection: AsyncConnection, organization_id: UUID) -> Seen:
        """Who serves the organization, as it was a moment ago at most."""
        seen = self._seen.get(organization_id)
        if seen is not None and _is_fresh(seen.at):
            return seen
        return await self.look(connection, organization_id)

    async def look(self, connection: AsyncConnection, organization_id: UUID) -> Seen:
        """Who serves the organization now."""
        workers = await workers_of(connection, organization_id)
        seen = self._seen[organization_id] = Seen(time.monotonic(), workers, pools_of(workers))
        return seen

    async def loaded(self, connection: AsyncConnection, pools: Iterable[LivePool]) -> list[LivePool]:
        """The pools with what was placed there and has not ended, by whichever organization and replica."""
        if not _is_fresh(self._counted_at):
            self._counted_at = time.monotonic()
            found = await _PLACED.execute(connection, {"most": MOST})
            self._placed = Counter({row.task_queue: row.executions for row in found})
        return [replace(pool, placed=self._placed[pool.task_queue]) for pool in pools]


def _is_fresh(at: float) -> bool:
    return time.monotonic() - at < REMEMBERED
