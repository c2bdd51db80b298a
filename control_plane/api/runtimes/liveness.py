"""Whether somebody is there to run what was accepted."""

import time
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.queues import pool_queue
from control_plane.api.credentials import Principal
from control_plane.api.runtimes.service import Workers, live_workers
from control_plane.api.schemas import Notice

#: Seconds for which a runtime that was seen live is not looked for again.
REMEMBERED = 5.0


def serving(workers: Workers, runtime: str) -> list[Row[Any]]:
    """The workers that take new turns of a runtime."""
    queue = pool_queue(runtime)
    return [worker for worker in workers if worker.task_queue == queue and not is_leaving(worker)]


def is_leaving(worker: Row[Any]) -> bool:
    """Whether the worker takes nothing new, or is about to hear that it is not to."""
    return worker.draining or worker.drain_requested_at is not None


def not_live(runtime: str, waits: str) -> Notice:
    """Nobody is there; `waits` says who waits, and for that."""
    return Notice(
        code="runtime_not_live",
        message=f"No live worker serves the runtime '{runtime}'; {waits} until one does.",
        hint=f"holdfast worker --pool {runtime}",
    )


class LiveRuntimes:
    """Warns of executions that will wait for a worker; costs no query while workers are there."""

    def __init__(self) -> None:
        self._seen: dict[tuple[UUID | None, str], float] = {}

    async def warnings(self, connection: AsyncConnection, principal: Principal, runtime: str) -> list[Notice]:
        """A warning where no worker serves the runtime for the organization."""
        if self._is_remembered(principal.organization_id, runtime):
            return []
        able = serving(await live_workers(connection, principal), runtime)
        for worker in able:
            mine = worker.organization_id == principal.organization_id and not principal.operator
            self._seen[worker.organization_id if mine else None, runtime] = time.monotonic()
        return [] if able else [not_live(runtime, "the execution waits")]

    def _is_remembered(self, organization_id: UUID, runtime: str) -> bool:
        """The operator's workers, kept without an organization, serve everybody."""
        seen = max(self._seen.get((owner, runtime), float("-inf")) for owner in (organization_id, None))
        return time.monotonic() - seen < REMEMBERED
