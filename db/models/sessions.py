"""Conversations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Sequence, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.enums import MessageRole
from db.models.base import Base, Created, Owned, one_of

#: Orders the messages of a session: taken when a turn opens and when it closes.
message_position = Sequence("message_position", metadata=Base.metadata)


class Session(Owned, Created, Base):
    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_organization_id_created_at", "organization_id", "created_at", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID | None]
    title: Mapped[str] = mapped_column(server_default="")
    #: `metadata` is taken by the declarative base.
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'::jsonb"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Message(Owned, Created, Base):
    """One message; `position` is null while a user message waits for its turn.

    `sender` is the request that is handing it to its workflow; null once the workflow has it.
    """

    __tablename__ = "messages"
    __table_args__ = (
        one_of("role", MessageRole),
        Index("ix_messages_session_id_position", "session_id", "position"),
        Index("ix_messages_execution_id_turn", "execution_id", "turn"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    execution_id: Mapped[UUID]
    turn: Mapped[int | None]
    role: Mapped[str]
    content: Mapped[str]
    position: Mapped[int | None] = mapped_column(BigInteger)
    sender: Mapped[UUID | None]
