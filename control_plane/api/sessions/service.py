"""Conversations, and the end of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.schemas import Paging
from control_plane.api.sessions.schemas import ListSessions
from control_plane.errors import NotFound, SessionInUse
from db.enums import TERMINAL
from db.models.events import Delta
from db.models.executions import Execution
from db.models.sessions import Message, Session


@dataclass(frozen=True, slots=True)
class Sessions:
    """One organization's sessions, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID

    async def get(self, session_id: UUID) -> Row[Any]:
        """One session.

        Raises:
            NotFound: the organization has no such session.
        """
        return await self._one(self._mine().where(Session.id == session_id))

    async def page(self, wanted: ListSessions, after: tuple[datetime, UUID] | None) -> Sequence[Row[Any]]:
        """Sessions, newest first, one more than asked for where there are more."""
        query = self._mine().order_by(Session.created_at.desc(), Session.id.desc())
        if wanted.agent_id is not None:
            query = query.where(Session.agent_id == wanted.agent_id)
        if after is not None:
            query = query.where(tuple_(Session.created_at, Session.id) < after)
        return (await self.connection.execute(query.limit(wanted.limit + 1))).all()

    async def messages(self, session_id: UUID, wanted: Paging, after: UUID | None) -> Sequence[Row[Any]]:
        """The messages behind message `after`, oldest first, one more than asked for where there are more.

        Raises:
            NotFound: the organization has no such session.
        """
        await self.get(session_id)
        query = select(Message.__table__).where(Message.session_id == session_id, Message.position.is_not(None))
        if after is not None:
            # The cursor names the message: positions are counted across organizations.
            reached = select(Message.position).where(Message.id == after, Message.session_id == session_id)
            query = query.where(Message.position > reached.scalar_subquery())
        return (await self.connection.execute(query.order_by(Message.position).limit(wanted.limit + 1))).all()

    async def delete(self, session_id: UUID) -> None:
        """Delete a session with its messages and its executions.

        Raises:
            NotFound: the organization has no such session.
            SessionInUse: executions of it have not ended.
        """
        await self._one(self._mine().where(Session.id == session_id).with_for_update())
        inside = Execution.session_id == session_id
        running = select(func.count()).where(inside, Execution.status.not_in(TERMINAL))
        if count := (await self.connection.execute(running)).scalar_one():
            raise SessionInUse(f"{count} of its executions have not ended.", executions=count)
        deltas = delete(Delta).where(Delta.execution_id.in_(select(Execution.id).where(inside)))
        for statement in (deltas, delete(Execution).where(inside), delete(Session).where(Session.id == session_id)):
            await self.connection.execute(statement)

    def _mine(self) -> Select[Any]:
        return select(Session.__table__).where(Session.organization_id == self.organization_id)

    async def _one(self, query: Select[Any]) -> Row[Any]:
        row = (await self.connection.execute(query)).first()
        if row is None:
            raise NotFound("There is no session with this id.", hint="See: holdfast sessions list")
        return row
