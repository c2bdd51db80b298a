"""Executions, their turns and their attempts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from db.enums import AttemptState, ExecutionStatus, Source, TurnState
from db.models.base import Base, Created, Owned, one_of


class Execution(Owned, Created, Base):
    """One run of `AgentExecutionWorkflow`.

    `attempt` is the fence: writes of a lower attempt fail. `attempt_key` orders attempts as Temporal
    does (turn, dispatch, try), `attempt_token` makes opening one idempotent, `attempt_batch` appending.
    """

    __tablename__ = "executions"
    __table_args__ = (
        one_of("status", ExecutionStatus),
        one_of("source", Source),
        CheckConstraint("priority BETWEEN 1 AND 5", name="priority"),
        Index("ix_executions_organization_id_created_at", "organization_id", "created_at", "id"),
        Index("ix_executions_agent_id", "agent_id"),
        Index("ix_executions_session_id", "session_id"),
        Index(
            "uq_executions_organization_id_idempotency_key",
            "organization_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("ix_executions_parent_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index(
            "ix_executions_unsettled",
            "reconciled_at",
            postgresql_where=text(
                "status IN ('waiting_for_session', 'waiting_for_pool', 'queued', 'running', 'waiting')"
            ),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    #: Null, like the session, where a Temporal client named an agent that does not exist.
    agent_id: Mapped[UUID | None]
    agent_name: Mapped[str]
    agent_version: Mapped[int]
    session_id: Mapped[UUID | None]
    workflow_id: Mapped[str]
    #: Of Temporal-started executions, whose workflow id may be used again; the API's own ids are unique.
    first_run_id: Mapped[str | None]
    runtime: Mapped[str]
    #: Empty while the execution waits for a pool.
    task_queue: Mapped[str]
    #: How runtime and pool were found; null of executions that were there before it was kept.
    resolution: Mapped[dict[str, Any] | None]
    interactive: Mapped[bool] = mapped_column(server_default=text("false"))
    status: Mapped[str] = mapped_column(server_default=ExecutionStatus.QUEUED)
    source: Mapped[str] = mapped_column(server_default=Source.API)
    #: `metadata` is taken by the declarative base.
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'::jsonb"))
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    #: What the start asked for, beneath what the agent has.
    budget: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    output_schema: Mapped[dict[str, Any] | None]
    parent_id: Mapped[UUID | None]
    depth: Mapped[int] = mapped_column(server_default="0")
    #: 1 goes first, 5 last.
    priority: Mapped[int] = mapped_column(server_default="3")

    last_seq: Mapped[int] = mapped_column(BigInteger, server_default="0")
    attempt: Mapped[int] = mapped_column(server_default="0")
    attempt_turn: Mapped[int] = mapped_column(server_default="0")
    attempt_dispatch: Mapped[int] = mapped_column(server_default="0")
    attempt_try: Mapped[int] = mapped_column(server_default="0")
    #: Of the workflow: after a reset another one begins to count anew.
    attempt_run: Mapped[str] = mapped_column(server_default="")
    attempt_token: Mapped[str] = mapped_column(server_default="")
    attempt_batch: Mapped[int] = mapped_column(server_default="0")
    worker_id: Mapped[str | None]

    #: The blob with the list of the workspace's files, as the last tool call left them.
    workspace: Mapped[str | None]
    #: While a worker ran a turn.
    seconds: Mapped[float] = mapped_column(server_default="0")
    response: Mapped[str | None]
    output: Mapped[dict[str, Any] | None]
    model: Mapped[str | None]
    finish_reason: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    usage: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))

    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reconciled_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Turn(Owned, Base):
    """One user message taken to its answer; `outcome` is what a late attempt is told.

    `offered` is the blob that lists the tools which the model was offered: every attempt offers the same.
    """

    __tablename__ = "turns"
    __table_args__ = (one_of("status", TurnState),)

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[UUID | None]
    status: Mapped[str] = mapped_column(server_default=TurnState.RUNNING)
    outcome: Mapped[dict[str, Any] | None]
    offered: Mapped[str | None]
    usage: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]


class Reservation(Owned, Created, Base):
    """A call of an execution that shares a budget: what it may use, once `settled` what it used."""

    __tablename__ = "reservations"
    __table_args__ = (Index("ix_reservations_execution_id", "execution_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    settled: Mapped[bool] = mapped_column(server_default=text("false"))
    model_calls: Mapped[int] = mapped_column(server_default="0")
    tool_calls: Mapped[int] = mapped_column(server_default="0")
    tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    cost_usd: Mapped[float] = mapped_column(server_default="0")


class Attempt(Owned, Base):
    __tablename__ = "attempts"
    __table_args__ = (one_of("status", AttemptState),)

    execution_id: Mapped[UUID] = mapped_column(ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    turn: Mapped[int]
    dispatch: Mapped[int]
    try_number: Mapped[int]
    run_id: Mapped[str] = mapped_column(server_default="")
    worker_id: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=AttemptState.RUNNING)
    error: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    ended_at: Mapped[datetime | None]
