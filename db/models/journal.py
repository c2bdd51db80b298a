"""The step journal: what turns did, what they wait for, and what belongs to it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.enums import ApprovalKind, ApprovalStatus, StepKind, StepStatus
from db.models.base import Base, Created, Owned, one_of


class Step(Owned, Base):
    """One model call or tool call of a turn; what is large is in `blobs`."""

    __tablename__ = "steps"
    __table_args__ = (one_of("kind", StepKind), one_of("status", StepStatus))

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    kind: Mapped[str]
    status: Mapped[str]
    key: Mapped[str] = mapped_column(server_default="")
    name: Mapped[str] = mapped_column(server_default="")
    effect: Mapped[str] = mapped_column(server_default="")
    hash: Mapped[str] = mapped_column(server_default="")
    fingerprint: Mapped[str] = mapped_column(server_default="")
    request: Mapped[dict[str, Any] | None]
    request_blob: Mapped[str | None]
    response: Mapped[dict[str, Any] | None]
    response_blob: Mapped[str | None]
    usage: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    timings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    error: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]


class Blob(Owned, Created, Base):
    """Bytes of an execution by the SHA-256 of what they are, deflated; `size` is before that."""

    __tablename__ = "blobs"

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    hash: Mapped[str] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    size: Mapped[int] = mapped_column(BigInteger)


class TurnEntry(Owned, Created, Base):
    """An entry of a list that a runtime keeps for one turn."""

    __tablename__ = "turn_entries"

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    entry: Mapped[dict[str, Any]]


class CachedResponse(Owned, Created, Base):
    """A model's answer to exactly one request of one version of an agent."""

    __tablename__ = "cached_responses"

    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent_version: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(primary_key=True)
    response: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Approval(Owned, Created, Base):
    """A decision that a human owes; `digest` binds it to the exact call, `limit` is what a budget is raised to."""

    __tablename__ = "approvals"
    __table_args__ = (
        one_of("kind", ApprovalKind),
        one_of("status", ApprovalStatus),
        Index("ix_approvals_execution_id_turn", "execution_id", "turn"),
        Index("ix_approvals_organization_id_created_at", "organization_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"))
    turn: Mapped[int]
    kind: Mapped[str]
    key: Mapped[str]
    digest: Mapped[str]
    name: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    status: Mapped[str] = mapped_column(server_default=ApprovalStatus.PENDING)
    note: Mapped[str] = mapped_column(server_default="")
    limit: Mapped[float | None]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
