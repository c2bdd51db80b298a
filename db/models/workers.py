"""Live announcements of workers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, func, text
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
    #: Bytes of the machine, or of the container.
    memory_limit: Mapped[int] = mapped_column(BigInteger, server_default="0")
    memory_used: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: Of Temporal's worker versioning; empty where the worker has no version.
    deployment: Mapped[str] = mapped_column(server_default="")
    build_id: Mapped[str] = mapped_column(server_default="")
    #: Kept until the worker has heard of it, however late.
    drain_requested_at: Mapped[datetime | None]
    drain_requested_by: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
