"""Whether somebody is there to run what was accepted."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.runtimes.service import Workers, workers_of
from control_plane.api.schemas import Notice
from runtimes.resolver import LivePool, deployment

#: Seconds for which what was seen of an organization's workers is not looked at again.
REMEMBERED = 2.0


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
    grouped: dict[tuple[str, str, str], list[tuple[Row[Any], str]]] = defaultdict(list)
    for worker, name, version in _offers(workers):
        grouped[worker.pool, worker.task_queue, name].append((worker, version))
    return tuple(
        LivePool(
            pool=pool,
            task_queue=task_queue,
            runtime=runtime,
            versions=frozenset(version for _, version in members),
            slots=sum(worker.slots for worker, _ in members),
            running=sum(worker.running for worker, _ in members),
        )
        for (pool, task_queue, runtime), members in sorted(grouped.items())
    )


def _offers(workers: Workers) -> Iterator[tuple[Row[Any], str, str]]:
    for worker in workers:
        if worker.kind == "runtime" and not is_leaving(worker):
            for announced in worker.runtimes:
                yield worker, announced["name"], announced["version"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What an organization's workers announced, and when it was looked at, by the monotonic clock."""

    at: float
    workers: Workers
    pools: tuple[LivePool, ...]


class LiveWorkers:
    """Remembers for a moment who is live, so that accepting executions costs no query."""

    def __init__(self) -> None:
        self._seen: dict[UUID, Seen] = {}
        #: Set when a worker has come: what waits for a pool may go on.
        self.came = asyncio.Event()

    def has_come(self) -> None:
        """A worker announced itself for the first time: look again."""
        self._seen.clear()
        self.came.set()

    async def seen(self, connection: AsyncConnection, organization_id: UUID) -> Seen:
        """Who serves the organization, as it was a moment ago at most."""
        seen = self._seen.get(organization_id)
        if seen is not None and time.monotonic() - seen.at < REMEMBERED:
            return seen
        return await self.look(connection, organization_id)

    async def look(self, connection: AsyncConnection, organization_id: UUID) -> Seen:
        """Who serves the organization now."""
        workers = await workers_of(connection, organization_id)
        seen = self._seen[organization_id] = Seen(time.monotonic(), workers, pools_of(workers))
        return seen
