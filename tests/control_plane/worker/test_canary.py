"""The canary tells a worker that lives from one whose core has hung."""

from datetime import timedelta
from uuid import uuid4

import psycopg
from temporalio import activity
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Worker

from control_plane.worker.canary import Canary
from control_plane.worker.slots import Capacity
from control_plane.worker.tuner import tuner_of
from services.cancellation import CancellationManager
from tests.stack import Stack


@activity.defn
async def _nothing() -> None:
    """Is never asked for."""


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


async def test_slots_that_are_weighed_are_no_sign_of_a_hang(stack: Stack) -> None:
    identity = f"weighed-{uuid4()}"
    runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=1))
    client = await Client.connect(stack.temporal_address, identity=identity, runtime=runtime)
    tuner = tuner_of(Capacity({"one": 1, "other": 2}), CancellationManager())
    canary = Canary(client, identity, running=lambda: -1)

    async def is_listed() -> bool:
        return "does not list" not in await canary.problem()

    async with Worker(client, task_queue=identity, activities=[_nothing], tuner=tuner):
        await stack.until(is_listed)
        problem = await canary.problem()

    assert problem == ""
