"""Executions that a turn of another execution starts, and waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import errors
from control_plane.api.credentials import Principal
from control_plane.api.executions import admission
from control_plane.api.executions.service import Executions, admission_of, require_open
from control_plane.api.internal.statements import lock
from control_plane.api.state import ApiState
from control_plane.gateway import TemporalGateway
from db.enums import ENDED, Source
from db.session import Database
from db.sql import Sql
from services.control_plane_client.models import ChildState, StartChild
from workflows.types import workflow_id_of

log = structlog.get_logger(__name__)

#: Executions above one: agents that call each other end here.
MAX_DEPTH = 5

_CHILD = Sql("SELECT * FROM executions WHERE id = :id AND parent_id = :parent_id")
#: Open children that nobody waits for: their parent has ended, or the turn that started them has.
_ORPHANS = f"""
    SELECT child.id, child.workflow_id FROM executions AS child
    LEFT JOIN executions AS parent ON parent.id = child.parent_id
    LEFT JOIN turns ON turns.execution_id = parent.id AND turns.turn = parent.attempt_turn
    WHERE child.status NOT IN ({ENDED}) AND (parent.id IS NULL OR parent.status IN ({ENDED})
        OR turns.ended_at IS NOT NULL OR child.created_at < turns.started_at)
"""  # noqa: S608
_ORPHANS_OF = Sql(_ORPHANS, "AND child.parent_id = :id")
_ORPHAN = Sql(_ORPHANS, "AND child.parent_id IS NOT NULL AND child.id = :id")


@dataclass(frozen=True, slots=True)
class Children:
    """The children of one organization's executions."""

    principal: Principal
    organization_id: UUID
    state: ApiState

    async def start(self, parent_id: UUID, request: StartChild) -> ChildState:
        """Start a child, or give its state: the same key is the same child.

        Raises:
            errors.NotFound: the organization has no such execution.
            errors.ExecutionClosed: the parent has ended.
            errors.DepthExceeded: too many executions have started each other.
            errors.AgentUnknown, errors.RuntimeUnfit: the agent cannot be run.
        """
        child_id = uuid5(parent_id, f"child/{request.key}")
        async with self.state.database.transaction(self.organization_id) as connection:
            parent = await lock(connection, self.organization_id, parent_id, with_spec=False)
            if parent is None:
                raise errors.NotFound(f"There is no execution '{parent_id}'.")
            found = (await _CHILD.execute(connection, {"id": child_id, "parent_id": parent_id})).first()
            row = found or await self._insert(connection, parent, child_id, request)
        if found is None:
            await self._begin(row, parent)
        return state_of(row)

    async def _insert(
        self, connection: AsyncConnection, parent: Row[Any], child_id: UUID, request: StartChild
    ) -> Row[Any]:
        require_open(parent)
        if parent.depth >= MAX_DEPTH:
            raise errors.DepthExceeded(f"{MAX_DEPTH} executions have started each other already.")
        agent = await admission.require_agent(connection, self.organization_id, request.agent)
        wanted = agent.wanted()
        resolution = await self.state.placement.require(connection, self.organization_id, wanted, wait=True)
        new = admission.NewExecution(
            id=child_id,
            organization_id=self.organization_id,
            workflow_id=workflow_id_of(child_id),
            prompt=request.prompt,
            source=Source.API,
            parent_id=parent.id,
            depth=parent.depth + 1,
            priority=parent.priority,
        )
        row = await admission.insert(connection, new, agent.spec, resolution)
        if row is None:
            raise errors.Conflict(f"There is another execution '{child_id}'.")
        return row

    async def _begin(self, row: Row[Any], parent: Row[Any]) -> None:
        """Start its workflow; the reconciler does where this cannot."""
        wanted = admission_of(
            row,
            self.state.settings,
            self.state.frameworks.config,
            has_message=True,
            parent_workflow_id=parent.workflow_id,
        )
        try:
            await self.state.gateway.start(row.workflow_id, wanted, interactive=False, metadata={})
        except (errors.TemporalUnavailable, errors.TemporalRejected) as error:
            log.warning("child not started yet", execution_id=str(row.id), error=error.detail)


def state_of(row: Row[Any]) -> ChildState:
    """What its parent has to know of it."""
    return ChildState(
        id=str(row.id), status=row.status, response=row.response or "", output=row.output, error=row.error
    )


async def workflow_of_parent(connection: AsyncConnection, organization_id: UUID, row: Row[Any]) -> str | None:
    """The workflow that hears of the execution's end."""
    if row.parent_id is None:
        return None
    try:
        return (await Executions(connection, organization_id).get(row.parent_id)).workflow_id
    except errors.NotFound:
        return None


async def cancel_children(
    database: Database, gateway: TemporalGateway, organization_id: UUID, execution_id: UUID
) -> None:
    """Cancel what an execution has started and nobody waits for any more; what fails, the reconciler tries again."""
    async with database.transaction(organization_id) as connection:
        children: Sequence[Row[Any]] = (await _ORPHANS_OF.execute(connection, {"id": execution_id})).all()
    for child in children:
        try:
            await gateway.cancel(child.workflow_id, None)
        except errors.HoldfastError as error:
            log.warning("child not cancelled yet", execution_id=str(child.id), error=error.detail)


async def is_orphan(connection: AsyncConnection, execution_id: UUID) -> bool:
    """Whether an execution goes on for a turn that nobody takes any further."""
    return (await _ORPHAN.execute(connection, {"id": execution_id})).first() is not None
