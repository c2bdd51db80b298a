"""The load of the whole installation, counted for metrics: sums, and nothing of any organization's."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Row, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from activities.queues import pool_of, pool_queue
from control_plane.api.runtimes.service import LIVE
from control_plane.errors import HoldfastError
from control_plane.gateway import TemporalGateway
from control_plane.metrics import Load, Samples
from db.enums import ExecutionStatus
from db.models.workers import Worker
from db.session import Database

log = structlog.get_logger(__name__)

#: Seconds for which what was counted is not counted again, whoever asks.
REMEMBERED = 5.0
#: Seconds that database and Temporal get.
PATIENCE = 3.0
#: Combinations of labels, the most frequent ones.
MOST = 1000
_EXECUTIONS = text("SELECT * FROM holdfast_census(:most)")
_WORKERS = (
    select(Worker.pool, Worker.kind, func.count().label("workers"))
    .where(Worker.seen_at > func.now() - LIVE)
    .group_by(Worker.pool, Worker.kind)
    .order_by(func.count().desc())
    .limit(MOST)
)


class _Counted(NamedTuple):
    executions: Sequence[Row[Any]] = ()
    workers: Sequence[Row[Any]] = ()
    answered: bool = False


@dataclass(slots=True)
class Census:
    """Counts what there is to do; two transactions' worth of work every few seconds at most."""

    database: Database
    gateway: TemporalGateway
    _at: float = float("-inf")

    async def look(self, before: Load) -> Load:
        """The load now, or `before` where that is fresh."""
        if time.monotonic() - self._at < REMEMBERED:
            return before
        self._at = time.monotonic()
        counted = await self._rows()
        pools = _pools(counted)
        backlog = await self._backlog(pools)
        queued = [row for row in counted.executions if row.status == ExecutionStatus.QUEUED]
        idle = dict.fromkeys(pools, 0.0)
        return Load(
            executions=_summed((row.status, row.runtime, _pool(row), row.executions) for row in counted.executions),
            queued=idle | _summed((_pool(row), row.executions) for row in queued),
            oldest=idle | {(_pool(row),): row.age for row in sorted(queued, key=_age)},
            workers={(row.pool, row.kind): row.workers for row in counted.workers},
            backlog=backlog or {},
            up={("database",): float(counted.answered), ("temporal",): float(backlog is not None)},
        )

    async def _rows(self) -> _Counted:
        try:
            async with asyncio.timeout(PATIENCE), self.database.transaction(None) as connection:
                executions: Sequence[Any] = (await connection.execute(_EXECUTIONS, {"most": MOST})).all()
                workers: Sequence[Any] = (await connection.execute(_WORKERS)).all()
                return _Counted(executions, workers, answered=True)
        except (SQLAlchemyError, OSError) as error:
            log.warning("no figures from the database", error=str(error))
            return _Counted()

    async def _backlog(self, pools: Sequence[tuple[str]]) -> Samples | None:
        """What waits in Temporal; None if it does not say."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.gateway.check()
                sizes = await asyncio.gather(*(self.gateway.backlog(pool_queue(pool)) for (pool,) in pools))
        except (HoldfastError, OSError) as error:
            log.warning("no figures from Temporal", error=str(error))
            return None
        return dict(zip(pools, map(float, sizes), strict=True))


def _pools(counted: _Counted) -> list[tuple[str]]:
    """Those that somebody serves, and those that somebody waits for."""
    served = {row.pool for row in counted.workers if row.kind == "runtime"}
    wanted = {_pool(row) for row in counted.executions}
    return [(pool,) for pool in sorted({*served, *wanted} - {""})]


def _pool(row: Row[Any]) -> str:
    return pool_of(row.task_queue)


def _age(row: Row[Any]) -> float:
    return row.age


def _summed(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, ...], float]:
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for *labels, count in rows:
        sums[tuple(labels)] += count
    return dict(sums)
