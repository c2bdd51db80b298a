"""Shapes of sessions and their messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from control_plane.api.schemas import NextCursor, Paging
from db.enums import MessageRole


class Session(BaseModel):
    """A conversation: ordered messages across executions."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    agent_id: UUID | None
    title: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class SessionPage(BaseModel):
    """Sessions, newest first."""

    items: list[Session]
    next_cursor: NextCursor


class ListSessions(Paging):
    """Which sessions to list."""

    agent_id: UUID | None = Field(default=None, description="Those that this agent began.")


class SessionMessage(BaseModel):
    """A message that had its turn."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    execution_id: UUID
    turn: int
    role: MessageRole
    content: str
    created_at: datetime


class SessionMessagePage(BaseModel):
    """Messages, oldest first."""

    items: list[SessionMessage]
    next_cursor: NextCursor
