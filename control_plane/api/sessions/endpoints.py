"""Routes of sessions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from control_plane.api.auth import Reader, Writer
from control_plane.api.openapi import CHANGING, KEYED, LISTING, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.schemas import Paging
from control_plane.api.sessions.schemas import ListSessions, Session, SessionMessage, SessionMessagePage, SessionPage
from control_plane.api.sessions.service import Sessions
from control_plane.api.state import State
from control_plane.errors import NotFound, SessionInUse

router = APIRouter(prefix="/api/v1/sessions", tags=["sessions"])


@router.get("", operation_id="list_sessions", responses=problems(LISTING))
async def list_sessions(query: Annotated[ListSessions, Query()], principal: Reader, state: State) -> SessionPage:
    """Sessions, newest first."""
    cursors = Cursors("sessions", principal.organization_id)
    after = cursors.decode(query.cursor, datetime.fromisoformat, UUID) if query.cursor else None
    async with state.database.transaction(principal.organization_id) as connection:
        rows = await Sessions(connection, principal.organization_id).page(
            query, (after[0], after[1]) if after else None
        )
    shown, cursor = page(rows, query.limit, lambda row: cursors.encode(row.created_at.isoformat(), row.id))
    return SessionPage(items=[Session.model_validate(row) for row in shown], next_cursor=cursor)


@router.get("/{session_id}", operation_id="get_session", responses=problems(KEYED, NotFound))
async def get_session(session_id: UUID, principal: Reader, state: State) -> Session:
    """One session."""
    async with state.database.transaction(principal.organization_id) as connection:
        return Session.model_validate(await Sessions(connection, principal.organization_id).get(session_id))


@router.get("/{session_id}/messages", operation_id="list_messages", responses=problems(LISTING, NotFound))
async def list_messages(
    session_id: UUID, query: Annotated[Paging, Query()], principal: Reader, state: State
) -> SessionMessagePage:
    """The session's messages, oldest first; those that still wait for their turn are not among them."""
    cursors = Cursors(f"messages of {session_id}", principal.organization_id)
    after = cursors.decode(query.cursor, UUID) if query.cursor else None
    async with state.database.transaction(principal.organization_id) as connection:
        sessions = Sessions(connection, principal.organization_id)
        rows = await sessions.messages(session_id, query, after[0] if after else None)
    shown, cursor = page(rows, query.limit, lambda row: cursors.encode(row.id))
    return SessionMessagePage(items=[SessionMessage.model_validate(row) for row in shown], next_cursor=cursor)


@router.delete(
    "/{session_id}",
    operation_id="delete_session",
    status_code=204,
    responses=problems(CHANGING, NotFound, SessionInUse),
)
async def delete_session(session_id: UUID, principal: Writer, state: State) -> None:
    """Delete a session with its messages and its executions."""
    async with state.database.transaction(principal.organization_id) as connection:
        await Sessions(connection, principal.organization_id).delete(session_id)
