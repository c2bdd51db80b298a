"""The journal's part of the worker API: blobs, entries of runtimes, cached responses."""

from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from control_plane.api.auth import WorkerKey
from control_plane.api.internal.access import organization_of
from control_plane.api.internal.journal import JournalStore
from control_plane.api.state import State
from services.control_plane_client.models import AppendEntries, CacheResponse

router = APIRouter(prefix="/internal/v1/executions/{execution_id}", tags=["internal"], include_in_schema=False)


@router.get("/blobs/{name}")
async def get_blob(execution_id: UUID, name: str, organization: str, principal: WorkerKey, state: State) -> Response:
    organization_id = organization_of(principal, organization)
    async with state.database.transaction(organization_id) as connection:
        data = await JournalStore(connection, organization_id, execution_id).blob(name)
    return Response(data, media_type="application/octet-stream")


@router.put("/blobs", status_code=204)
async def put_blob(execution_id: UUID, organization: str, request: Request, principal: WorkerKey, state: State) -> None:
    organization_id = organization_of(principal, organization)
    data = await request.body()
    async with state.database.transaction(organization_id) as connection:
        await JournalStore(connection, organization_id, execution_id).keep_blob(data)


@router.put("/attempts/{attempt}/offered", status_code=204)
async def put_offered(
    execution_id: UUID, attempt: int, organization: str, request: Request, principal: WorkerKey, state: State
) -> None:
    organization_id = organization_of(principal, organization)
    data = await request.body()
    async with state.database.transaction(organization_id) as connection:
        await JournalStore(connection, organization_id, execution_id).keep_offered(attempt, data)


@router.get("/turns/{turn}/entries/{name}")
async def get_entries(
    execution_id: UUID, turn: int, name: str, organization: str, principal: WorkerKey, state: State
) -> Response:
    organization_id = organization_of(principal, organization)
    async with state.database.transaction(organization_id) as connection:
        return _json(await JournalStore(connection, organization_id, execution_id).entries(turn, name))


@router.post("/attempts/{attempt}/entries", status_code=204)
async def append_entries(
    execution_id: UUID, attempt: int, request: AppendEntries, principal: WorkerKey, state: State
) -> None:
    organization_id = organization_of(principal, request.organization_id)
    async with state.database.transaction(organization_id) as connection:
        store = JournalStore(connection, organization_id, execution_id)
        await store.append_entries(attempt, request.name, request.position, request.entries)


@router.get("/cache/{name}")
async def get_cached(execution_id: UUID, name: str, organization: str, principal: WorkerKey, state: State) -> Response:
    organization_id = organization_of(principal, organization)
    async with state.database.transaction(organization_id) as connection:
        return _json(await JournalStore(connection, organization_id, execution_id).cached(name))


@router.put("/cache/{name}", status_code=204)
async def put_cached(execution_id: UUID, name: str, request: CacheResponse, principal: WorkerKey, state: State) -> None:
    organization_id = organization_of(principal, request.organization_id)
    async with state.database.transaction(organization_id) as connection:
        await JournalStore(connection, organization_id, execution_id).cache(name, request.response, request.ttl_seconds)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
