"""Routes of API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from control_plane.api.auth import Admin
from control_plane.api.keys.schemas import CreateKey, Key, KeyPage, NewKey
from control_plane.api.keys.service import Keys
from control_plane.api.openapi import CHANGING, LISTING, WITH_BODY, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.schemas import Paging
from control_plane.api.state import State
from control_plane.errors import NotFound

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])


@router.post("", operation_id="create_key", status_code=201, responses=problems(WITH_BODY))
async def create_key(body: CreateKey, principal: Admin, state: State, response: Response) -> NewKey:
    """Make a key for the own organization; its text is in this answer only."""
    async with state.database.transaction(principal.organization_id) as connection:
        key = await Keys(connection, principal.organization_id).create(body)
    response.headers["Cache-Control"] = "no-store"
    return key


@router.get("", operation_id="list_keys", responses=problems(LISTING))
async def list_keys(query: Annotated[Paging, Query()], principal: Admin, state: State) -> KeyPage:
    """Keys, newest first, revoked ones too."""
    cursors = Cursors("keys", principal.organization_id)
    after = cursors.decode(query.cursor, datetime.fromisoformat, UUID) if query.cursor else None
    async with state.database.transaction(principal.organization_id) as connection:
        rows = await Keys(connection, principal.organization_id).page(query, (after[0], after[1]) if after else None)
    shown, cursor = page(rows, query.limit, lambda row: cursors.encode(row.created_at.isoformat(), row.id))
    return KeyPage(items=[Key.model_validate(row) for row in shown], next_cursor=cursor)


@router.delete("/{key_id}", operation_id="revoke_key", status_code=204, responses=problems(CHANGING, NotFound))
async def revoke_key(key_id: UUID, principal: Admin, state: State) -> None:
    """Revoke a key: it opens nothing from now on; other API processes follow within seconds."""
    async with state.database.transaction(principal.organization_id) as connection:
        await Keys(connection, principal.organization_id).revoke(key_id)
    state.credentials.forget(key_id)
