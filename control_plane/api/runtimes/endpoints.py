"""Routes of runtimes."""

from fastapi import APIRouter

from control_plane.api.auth import Reader
from control_plane.api.openapi import KEYED, problems
from control_plane.api.runtimes import service
from control_plane.api.runtimes.description import broken_plugins
from control_plane.api.runtimes.schemas import Runtime, RuntimeList
from control_plane.api.state import State
from control_plane.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["runtimes"])


@router.get("/runtimes", operation_id="list_runtimes", responses=problems(KEYED))
async def list_runtimes(principal: Reader, state: State) -> RuntimeList:
    """The runtimes that agents may name, and which of them are live."""
    async with state.database.transaction(principal.organization_id) as connection:
        workers = await service.live_workers(connection, principal)
    items = service.list_runtimes(state.manifests, workers)
    return RuntimeList(items=items, broken=broken_plugins(state.manifests) if principal.operator else [])


@router.get("/runtimes/{name}", operation_id="get_runtime", responses=problems(KEYED, NotFound))
async def get_runtime(name: str, principal: Reader, state: State) -> Runtime:
    """One runtime."""
    async with state.database.transaction(principal.organization_id) as connection:
        workers = await service.live_workers(connection, principal)
    return service.get_runtime(name, state.manifests, workers)
