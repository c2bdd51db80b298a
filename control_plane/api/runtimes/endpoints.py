"""Routes of runtimes."""

from fastapi import APIRouter

from control_plane.api.agents.endpoints import agents_of
from control_plane.api.auth import Reader
from control_plane.api.openapi import KEYED, WITH_BODY, problems
from control_plane.api.runtimes import service
from control_plane.api.runtimes.description import broken_plugins
from control_plane.api.runtimes.schemas import ResolveRuntime, Runtime, RuntimeList
from control_plane.api.state import State
from control_plane.errors import (
    CommandForbidden,
    NotFound,
    RuntimeUnknown,
    SchemaInvalid,
    TemplateUnknown,
    UrlForbidden,
)
from runtimes.resolver import Resolution

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


@router.post(
    "/runtimes/resolve",
    operation_id="resolve_runtime",
    responses=problems(
        WITH_BODY, NotFound, RuntimeUnknown, TemplateUnknown, SchemaInvalid, UrlForbidden, CommandForbidden
    ),
)
async def resolve_runtime(body: ResolveRuntime, principal: Reader, state: State) -> Resolution:
    """Which runtime and pool an execution would get now, and why; for a stored agent, or for one that is not."""
    async with state.database.transaction(principal.organization_id) as connection:
        agents = await agents_of(connection, principal, state)
        definition = await (agents.definition(body.agent_id) if body.agent_id else agents.draft(body.draft))
        return await state.placement.decide(connection, principal.organization_id, definition.wanted())
