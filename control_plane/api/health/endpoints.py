"""Routes of health; the first two need no key."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse
from sqlalchemy import text

from control_plane.api.auth import Reader
from control_plane.api.health.schemas import Health, ModelHealth, Readiness, RuntimeHealth
from control_plane.api.openapi import KEYED, OPEN, problems
from control_plane.api.runtimes.description import announced_runtimes
from control_plane.api.runtimes.service import live_workers
from control_plane.api.state import State
from control_plane.errors import (
    DatabaseUnavailable,
    FieldMissing,
    InstallationForeign,
    NotFound,
    TemporalRejected,
    TemporalUnavailable,
    TypeMismatch,
    ValueInvalid,
)
from services.control_plane_client.identity import proof_of

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live", operation_id="is_live", responses=problems(OPEN))
async def is_live() -> Health:
    """Whether the process turns."""
    return Health()


@router.get(
    "/ready",
    operation_id="is_ready",
    responses=problems(OPEN, DatabaseUnavailable, InstallationForeign, TemporalRejected, TemporalUnavailable),
)
async def is_ready(state: State) -> Readiness:
    """Whether database and Temporal answer, and Temporal's namespace is ours and has our search attributes."""
    async with state.database.transaction(None) as connection:
        await connection.execute(text("SELECT 1"))
    await state.gateway.check()
    return Readiness(installation_id=await state.installation.read())


@router.get(
    "/identity",
    operation_id="prove_identity",
    responses=problems(OPEN, FieldMissing, NotFound, TypeMismatch, ValueInvalid),
)
async def prove_identity(
    request: Request, state: State, nonce: Annotated[str, Query(min_length=16, max_length=128)]
) -> PlainTextResponse:
    """Proof of this API's identity, for whoever shares its secret."""
    secret, server = state.settings.identity_secret, request.scope.get("server")
    if secret is None or server is None:
        raise NotFound("This API shares no secret with anybody.")
    return PlainTextResponse(proof_of(secret.get_secret_value(), nonce, server[1]))


@router.get("/runtimes", operation_id="runtimes_health", responses=problems(KEYED))
async def runtimes_health(principal: Reader, state: State) -> RuntimeHealth:
    """Which runtimes have a live worker."""
    async with state.database.transaction(principal.organization_id) as connection:
        workers = await live_workers(connection, principal)
    live = announced_runtimes(workers)
    return RuntimeHealth(runtimes={name: name in live for name in sorted({*state.manifests, *live})})


@router.get("/models", operation_id="models_health", responses=problems(KEYED))
async def models_health(principal: Reader, state: State) -> ModelHealth:
    """Which providers the live workers can call; false where the key is missing."""
    async with state.database.transaction(principal.organization_id) as connection:
        workers = await live_workers(connection, principal)
    found: dict[str, bool] = {}
    for worker in workers:
        for name, announced in worker.providers.items():
            found[name] = found.get(name, False) or announced["ready"]
    return ModelHealth(providers=found)
