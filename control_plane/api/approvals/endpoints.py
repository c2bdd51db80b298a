"""Routes of approvals."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from control_plane.api.approvals.schemas import Approval, ApprovalPage, Approve, Deny, ListApprovals
from control_plane.api.approvals.service import ApprovalDesk
from control_plane.api.auth import Reader, WorkerKey, Writer
from control_plane.api.credentials import Principal
from control_plane.api.internal.access import organization_of
from control_plane.api.openapi import KEYED, LISTING, WITH_BODY, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.schemas import Paging
from control_plane.api.state import ApiState, State
from control_plane.errors import (
    ApprovalClosed,
    ApprovalExpired,
    ArgumentsChanged,
    ExecutionClosed,
    NotFound,
    OperatorOnly,
)
from db.enums import ApprovalStatus
from services.control_plane_client.models import DecideApproval

router = APIRouter(prefix="/api/v1", tags=["approvals"])
internal = APIRouter(prefix="/internal/v1/executions/{execution_id}", tags=["internal"], include_in_schema=False)

DECIDING = problems(WITH_BODY, NotFound, ApprovalClosed, ApprovalExpired, ArgumentsChanged, ExecutionClosed)


@router.get("/approvals", operation_id="list_approvals", responses=problems(LISTING))
async def list_approvals(query: Annotated[ListApprovals, Query()], principal: Reader, state: State) -> ApprovalPage:
    """The inbox: what waits for a decision, oldest first; `status=all` for what is decided too."""
    return await _page(query, principal, state)


@router.get(
    "/executions/{execution_id}/approvals",
    operation_id="list_execution_approvals",
    responses=problems(LISTING, NotFound),
)
async def list_execution_approvals(
    execution_id: UUID, query: Annotated[Paging, Query()], principal: Reader, state: State
) -> ApprovalPage:
    """All approvals of an execution, oldest first."""
    await ApprovalDesk(principal.organization_id, state).require_execution(execution_id)
    wanted = ListApprovals(status="all", execution_id=execution_id, limit=query.limit, cursor=query.cursor)
    return await _page(wanted, principal, state)


@router.get("/approvals/{approval_id}", operation_id="get_approval", responses=problems(KEYED, NotFound))
async def get_approval(approval_id: UUID, principal: Reader, state: State) -> Approval:
    """One approval, with what is asked in full."""
    return Approval.model_validate(await ApprovalDesk(principal.organization_id, state).get(approval_id))


@router.post("/approvals/{approval_id}/approve", operation_id="approve", responses=DECIDING)
async def approve(approval_id: UUID, body: Approve, principal: Writer, state: State) -> Approval:
    """Let the call run, or raise the limit. The first decision holds."""
    return await _decide(approval_id, body, principal, state)


@router.post("/approvals/{approval_id}/deny", operation_id="deny", responses=DECIDING)
async def deny(approval_id: UUID, body: Deny, principal: Writer, state: State) -> Approval:
    """Do not let the call run; the model is told, with the note. The first decision holds."""
    return await _decide(approval_id, body, principal, state)


@internal.post("/approvals")
async def decide_approval(
    execution_id: UUID, request: DecideApproval, principal: WorkerKey, state: State
) -> ApprovalStatus:
    """A decision that came through Temporal; a repeated one is told what it did."""
    desk = ApprovalDesk(organization_of(principal, request.organization_id), state)
    await desk.require_execution(execution_id)
    if not principal.operator:
        raise OperatorOnly("Only the operator's workflow workers pass decisions on.")
    return await desk.pass_on(execution_id, request.decision)


async def _page(query: ListApprovals, principal: Principal, state: ApiState) -> ApprovalPage:
    cursors = Cursors("approvals", principal.organization_id)
    after = cursors.decode(query.cursor, datetime.fromisoformat, UUID) if query.cursor else None
    rows = await ApprovalDesk(principal.organization_id, state).page(query, (after[0], after[1]) if after else None)
    shown, cursor = page(rows, query.limit, lambda row: cursors.encode(row.created_at.isoformat(), row.id))
    return ApprovalPage(items=[Approval.model_validate(row) for row in shown], next_cursor=cursor)


async def _decide(approval_id: UUID, body: Deny, principal: Principal, state: ApiState) -> Approval:
    desk = ApprovalDesk(principal.organization_id, state)
    return await desk.decide(approval_id, body, await desk.key_name(principal.key_id))
