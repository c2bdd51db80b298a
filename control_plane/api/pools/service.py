"""Worker pools: shown from what live workers announce, and drained."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row, delete, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.approvals.statements import key_name
from control_plane.api.credentials import Principal
from control_plane.api.pools.schemas import PoolWorker, WorkerPool, WorkerPoolDetail
from control_plane.api.runtimes.liveness import is_leaving
from control_plane.api.runtimes.service import Workers, live_workers
from control_plane.errors import NotFound, OperatorOnly
from db.models.workers import Worker

log = structlog.get_logger(__name__)

#: A worker that was cut off for less than this, and comes back, hears that it is to drain; one that was longer away is
#: forgotten.
CUT_OFF = timedelta(days=1)


async def forget_workers(connection: AsyncConnection) -> None:
    """Delete what is long gone, of all organizations."""
    await connection.execute(delete(Worker).where(Worker.seen_at < func.now() - CUT_OFF))


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools that serve an organization, inside the caller's transaction."""

    connection: AsyncConnection
    principal: Principal

    async def live(self) -> list[WorkerPool]:
        """The live pools, by name and task queue."""
        pools: dict[tuple[str, str, str], list[Row[Any]]] = defaultdict(list)
        for worker in await live_workers(self.connection, self.principal):
            pools[worker.pool, worker.task_queue, worker.kind].append(worker)
        return [WorkerPool.model_validate(_summed(pools[key])) for key in sorted(pools)]

    async def get(self, pool: str) -> WorkerPoolDetail:
        """One pool, with its workers.

        Raises:
            NotFound: no live worker has announced it.
        """
        return self._detail(await self._workers(pool))

    async def drain(self, pool: str, build_id: str | None) -> tuple[WorkerPoolDetail, list[str]]:
        """Note that the pool's present workers are to end; the pool as it is then, and who has to be told.

        Raises:
            NotFound: the pool has no live worker, or none of that build.
            OperatorOnly: the pool is the operator's.
        """
        found = [worker for worker in await self._workers(pool) if build_id in (None, worker.build_id)]
        if not found:
            raise NotFound(f"The pool '{pool}' has no live worker of the build '{build_id}'.", hint=_hint(pool))
        mine = [worker.id for worker in found if worker.organization_id == self.principal.organization_id]
        if not mine:
            raise OperatorOnly(f"Only the operator drains the pool '{pool}'.", hint="Use a key of the operator.")
        await self._request(pool, build_id)
        log.info("pool drained", pool=pool, build_id=build_id, key_id=str(self.principal.key_id), workers=mine)
        return self._detail(await self._workers(pool)), mine

    async def _request(self, pool: str, build_id: str | None) -> None:
        """The first request stays, with the name of its key."""
        by = await key_name(self.connection, self.principal.key_id)
        wanted = update(Worker).where(
            Worker.pool == pool,
            Worker.organization_id == self.principal.organization_id,
            Worker.seen_at > func.now() - CUT_OFF,
            Worker.drain_requested_at.is_(None),
        )
        if build_id is not None:
            wanted = wanted.where(Worker.build_id == build_id)
        await self.connection.execute(wanted.values(drain_requested_at=func.now(), drain_requested_by=by))

    def _detail(self, workers: Workers) -> WorkerPoolDetail:
        return WorkerPoolDetail(**_summed(workers), live_workers=list(map(self._shown, workers)))

    def _shown(self, worker: Row[Any]) -> PoolWorker:
        """A worker, without its machine where it is somebody else's: tenants share the operator's."""
        shown = PoolWorker.model_validate(worker)
        if worker.organization_id == self.principal.organization_id:
            return shown
        return shown.model_copy(update={"host": None, "pid": None})

    async def _workers(self, pool: str) -> Workers:
        found = [worker for worker in await live_workers(self.connection, self.principal) if worker.pool == pool]
        if not found:
            raise NotFound(f"No live worker serves a pool '{pool}'.", hint="See: holdfast pools list")
        return found


def _hint(pool: str) -> str:
    return f"See: holdfast pools show {pool}"


def _summed(workers: Workers) -> dict[str, Any]:
    first = workers[0]
    return {
        "pool": first.pool,
        "task_queue": first.task_queue,
        "kind": first.kind,
        "workers": len(workers),
        "slots": sum(worker.slots for worker in workers),
        "running": sum(worker.running for worker in workers),
        "runtimes": sorted({runtime["name"] for worker in workers for runtime in worker.runtimes}),
        "build_ids": sorted({worker.build_id for worker in workers if worker.build_id}),
        "draining": sum(map(is_leaving, workers)),
        "seen_at": max(worker.seen_at for worker in workers),
    }
