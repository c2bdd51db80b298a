"""Routes of worker pools."""

from typing import Annotated

from fastapi import APIRouter, Query

from control_plane.api.auth import Admin, Reader
from control_plane.api.openapi import CHANGING, KEYED, problems
from control_plane.api.pools.schemas import DrainPool, WorkerPoolDetail, WorkerPoolList
from control_plane.api.pools.service import Pools
from control_plane.api.state import State
from control_plane.errors import FieldUnknown, NotFound, OperatorOnly, ValueInvalid
from services.control_plane_client.models import DRAIN

router = APIRouter(prefix="/api/v1/worker-pools", tags=["pools"])


@router.get("", operation_id="list_worker_pools", responses=problems(KEYED))
async def list_worker_pools(principal: Reader, state: State) -> WorkerPoolList:
    """The pools whose workers were seen within 30 seconds."""
    async with state.database.transaction(principal.organization_id) as connection:
        return WorkerPoolList(items=await Pools(connection, principal).live())


@router.get("/{pool}", operation_id="get_worker_pool", responses=problems(KEYED, NotFound))
async def get_worker_pool(pool: str, principal: Reader, state: State) -> WorkerPoolDetail:
    """One pool, with its workers."""
    async with state.database.transaction(principal.organization_id) as connection:
        return await Pools(connection, principal).get(pool)


@router.post(
    "/{pool}/drain",
    operation_id="drain_worker_pool",
    status_code=202,
    responses=problems(CHANGING, NotFound, OperatorOnly, FieldUnknown, ValueInvalid),
)
async def drain_worker_pool(
    pool: str, query: Annotated[DrainPool, Query()], principal: Admin, state: State
) -> WorkerPoolDetail:
    """Let the pool's present workers take nothing new, give their turns their grace, hand back the rest, and end.

    Workers that start later serve the pool.
    """
    async with state.database.transaction(principal.organization_id) as connection:
        drained, told = await Pools(connection, principal).drain(pool, query.build_id)
    for worker_id in told:
        state.hub.command(worker_id, DRAIN)
    return drained
