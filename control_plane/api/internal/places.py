"""Executions that waited for a pool, and get their place."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import errors
from control_plane.api.executions import session_queue
from control_plane.api.executions.admission import first_status, pinned_agent
from control_plane.api.executions.placement import Placement, unfit
from control_plane.api.executions.service import require_open
from control_plane.api.internal.statements import lock
from control_plane.events import log
from db.enums import ExecutionStatus
from db.sql import Sql
from runtimes.resolver import Resolution, Stage
from runtimes.turns import Place
from services.control_plane_client.models import NewEvent

_HAS_MESSAGE = Sql("SELECT 1 FROM messages WHERE id = :id")
#: Only ever once: who comes second finds it placed.
_PLACE = Sql(
    """
    WITH fence AS (
        UPDATE executions SET status = :status, runtime = :runtime, task_queue = :task_queue,
            resolution = CAST(:resolution AS jsonb), last_seq = last_seq + :count, updated_at = now()
        WHERE id = :id AND status IN ('waiting_for_pool', 'waiting_for_session')
        RETURNING organization_id, id, last_seq, NULL::integer AS turn, NULL::integer AS attempt
    )
    """,
    log.LOGGED,
)


#: What an execution is before it has its place.
WITHOUT_PLACE = (ExecutionStatus.WAITING_FOR_POOL, ExecutionStatus.WAITING_FOR_SESSION)


@dataclass(frozen=True, slots=True)
class Places:
    """Places one organization's executions, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    placement: Placement

    async def take(self, execution_id: UUID) -> Place:
        """The execution's place; it gets one now if a pool fits, and its old one if it has one.

        Raises:
            errors.NotFound: the organization has no such execution.
            errors.ExecutionClosed: it has ended.
            errors.RuntimeUnfit: the runtime that it waited for turns out not to take it.
        """
        row = await lock(self.connection, self.organization_id, execution_id, with_spec=False)
        if row is None:
            raise errors.NotFound(f"There is no execution '{execution_id}'.")
        require_open(row)
        if row.status not in WITHOUT_PLACE:
            return Place(runtime=row.runtime, task_queue=row.task_queue)
        waited = row.status == ExecutionStatus.WAITING_FOR_SESSION
        if waited and not await session_queue.is_next(self.connection, row):
            return Place(runtime=row.runtime, task_queue="")
        resolution = await self.decide(row)
        if resolution.is_final():
            raise unfit(resolution)
        if resolution.pool is not None or waited:
            await self._place(row, resolution)
        return place_of(resolution)

    async def decide(self, row: Row[Any]) -> Resolution:
        """The decision on an execution that waits, by what is live now; a runtime that its start named stays."""
        definition = await pinned_agent(self.connection, row)
        explicit = row.runtime if row.resolution["stage"] == Stage.EXPLICIT else None
        wanted = definition.wanted(explicit, row.output_schema)
        return await self.placement.decide(self.connection, self.organization_id, wanted)

    async def _place(self, row: Row[Any], resolution: Resolution) -> None:
        has_message = (await _HAS_MESSAGE.execute(self.connection, {"id": row.id})).first() is not None
        status, next_event = first_status(resolution, has_message=has_message)
        decided = resolution.model_dump(mode="json", exclude_none=True)
        placed = {"runtime": resolution.runtime, "task_queue": resolution.task_queue, "resolution": decided}
        parameters = {
            "id": row.id,
            "status": status,
            "runtime": resolution.runtime,
            "task_queue": resolution.task_queue or "",
            "resolution": orjson.dumps(decided).decode(),
            **log.counted(
                [*([NewEvent(type="execution.placed", data=placed)] if resolution.pool else []), *next_event]
            ),
        }
        await _PLACE.execute(self.connection, parameters)
        self.placement.taken(resolution)


def place_of(resolution: Resolution) -> Place:
    """What the workflow has to know of a decision."""
    return Place(
        runtime=resolution.runtime or "", task_queue=resolution.task_queue or "", deploy=resolution.deploy or ""
    )
