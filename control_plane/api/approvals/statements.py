"""The SQL of approvals. Whoever touches one holds its execution's row first."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, case, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.approvals.schemas import ListApprovals
from control_plane.events import log
from db.enums import ApprovalStatus
from db.models.executions import Execution
from db.models.journal import Approval
from db.models.organizations import ApiKey
from db.sql import Sql
from services.control_plane_client.models import NewEvent

#: What nobody has decided in time is expired, whether somebody noticed or not.
_OVERDUE = (Approval.status == ApprovalStatus.PENDING) & (Approval.expires_at <= func.now())
_status = case((_OVERDUE, ApprovalStatus.EXPIRED.value), else_=Approval.status).label("status")

#: It is looked after again at once, in case its workflow cannot be told.
_FENCE = """
    ), fence AS (
        UPDATE executions SET last_seq = last_seq + :count, updated_at = now(), reconciled_at = now()
        FROM closed WHERE executions.id = closed.execution_id
        RETURNING executions.organization_id, executions.id, last_seq, closed.turn, NULL::integer AS attempt
    ), logged AS (
"""
_DECIDE = Sql(
    """
    WITH closed AS (
        UPDATE approvals SET status = :status, note = :note, "limit" = :limit, decided_by = :decided_by,
            decided_at = now()
        WHERE id = :id AND status = 'pending' AND expires_at > now() RETURNING execution_id, turn
    """,
    _FENCE,
    log.LOGGED,
    ") SELECT id FROM fence",
)
_EXPIRE = Sql(
    """
    WITH closed AS (
        UPDATE approvals SET status = 'expired', decided_at = now()
        WHERE id = :id AND status = 'pending' AND expires_at <= now() RETURNING execution_id, turn
    """,
    _FENCE,
    log.LOGGED,
    ") SELECT id FROM fence",
)


def approvals(organization_id: UUID) -> Select[Any]:
    """An organization's approvals, each with its agent's name and the status that it has now."""
    columns = [column for column in Approval.__table__.columns if column.name != "status"]
    return (
        select(*columns, _status, Execution.agent_name)
        .join(Execution, Execution.id == Approval.execution_id)
        .where(Approval.organization_id == organization_id)
    )


def wanted_of(query: Select[Any], wanted: ListApprovals, after: tuple[datetime, UUID] | None) -> Select[Any]:
    """Those that a list asks for, oldest first, one more than asked for where there are more."""
    if wanted.status != "all":
        query = query.where(_status == wanted.status.value)
    if wanted.execution_id is not None:
        query = query.where(Approval.execution_id == wanted.execution_id)
    if wanted.kind is not None:
        query = query.where(Approval.kind == wanted.kind)
    if after is not None:
        query = query.where(tuple_(Approval.created_at, Approval.id) > after)
    return query.order_by(Approval.created_at, Approval.id).limit(wanted.limit + 1)


async def decide(
    connection: AsyncConnection,
    approval_id: UUID,
    status: ApprovalStatus,
    *,
    note: str,
    limit: float | None,
    decided_by: str,
) -> bool:
    """Decide what nobody has decided yet, and log it; False if somebody has, or time is up."""
    told = {"approval_id": str(approval_id), "decided_by": decided_by, "note": note}
    event = NewEvent(type=f"approval.{status}", data=told if limit is None else told | {"limit": limit})
    parameters = {"id": approval_id, "status": status, "note": note, "limit": limit, "decided_by": decided_by}
    return (await _DECIDE.execute(connection, parameters | log.counted([event]))).first() is not None


async def expire(connection: AsyncConnection, approval_id: UUID) -> None:
    """Close what nobody decided in time, and log it; once."""
    event = NewEvent(type=f"approval.{ApprovalStatus.EXPIRED}", data={"approval_id": str(approval_id)})
    await _EXPIRE.execute(connection, {"id": approval_id, **log.counted([event])})


async def key_name(connection: AsyncConnection, key_id: UUID) -> str:
    """What a key is called."""
    row: Row[Any] | None = (await connection.execute(select(ApiKey.name).where(ApiKey.id == key_id))).first()
    return "" if row is None else row.name
