"""The canary tells a worker that lives from one whose core has hung."""

from datetime import timedelta

import psycopg

from control_plane.worker.canary import Canary
from tests.stack import Stack


async def _worker_id(stack: Stack) -> str:
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        found = await connection.execute("SELECT id FROM workers WHERE pool = 'default' ORDER BY seen_at DESC")
        row = await found.fetchone()
    assert row is not None
    return row[0]


async def test_a_live_worker_has_no_problem(stack: Stack) -> None:
    canary = Canary(stack.temporal, await _worker_id(stack), running=lambda: 0)

    async def is_well() -> bool:
        return await canary.problem() == ""

    await stack.until(is_well)


async def test_a_core_that_is_not_heard_of_is_a_problem(stack: Stack) -> None:
    canary = Canary(stack.temporal, await _worker_id(stack), running=lambda: 0, fresh=timedelta(0))

    async def is_stale() -> bool:
        return "last heard of" in await canary.problem()

    await stack.until(is_stale)


async def test_a_worker_that_temporal_does_not_list_is_a_problem(stack: Stack) -> None:
    canary = Canary(stack.temporal, "nobody", running=lambda: 0)

    assert await canary.problem() == "Temporal does not list this worker."
