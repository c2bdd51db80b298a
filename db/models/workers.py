"""Live announcements of workers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Worker(Base):
    """A worker as it last announced itself; pools are what lives here now.

    `organization_id` is the organization of the key that it announced itself with: its pool serves
    every organization, its row says who runs it.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    pool: Mapped[str] = mapped_column(index=True)
    task_queue: Mapped[str]
    kind: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    slots: Mapped[int]
    running: Mapped[int]
    runtimes: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    providers: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    tool_modules: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    draining: Mapped[bool] = mapped_column(server_default=text("false"))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
