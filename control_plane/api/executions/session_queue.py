"""The executions of one session: one after the other, in the order of their starts, unless they are to be otherwise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.errors import HoldfastError, SessionBusy
from control_plane.gateway import TemporalGateway
from db.enums import ENDED, ExecutionStatus
from db.session import Database
from db.sql import Sql
from services.control_plane_client.models import AgentSpec, NewEvent

if TYPE_CHECKING:
    from control_plane.api.executions.admission import NewExecution

log = structlog.get_logger(__name__)

#: Whoever looks at the session's executions to decide about one of them holds this.
_LOCK = Sql("SELECT 1 FROM sessions WHERE id = :session_id FOR UPDATE")
_OPEN = Sql(f"""
    SELECT id FROM executions WHERE session_id = :session_id AND status NOT IN ({ENDED}) AND id <> :id
    ORDER BY created_at, id
""")  # noqa: S608
#: What runs, whenever it was started, and what waits and was started earlier.
_AHEAD = Sql(f"""
    SELECT other.id FROM executions AS other JOIN executions AS mine ON mine.session_id = other.session_id
    WHERE mine.id = :id AND other.id <> mine.id AND other.status NOT IN ({ENDED})
        AND (other.status <> 'waiting_for_session' OR (other.created_at, other.id) < (mine.created_at, mine.id))
    ORDER BY other.created_at, other.id
""")  # noqa: S608
_NEXT = Sql(f"""
    SELECT next.id, next.workflow_id, next.first_run_id FROM executions AS next
    JOIN executions AS mine ON mine.session_id = next.session_id
    WHERE mine.id = :id AND next.status = 'waiting_for_session' AND NOT EXISTS (
        SELECT 1 FROM executions AS other
        WHERE other.session_id = mine.session_id AND other.status NOT IN ({ENDED}, 'waiting_for_session')
    )
    ORDER BY next.created_at, next.id LIMIT 1
""")  # noqa: S608


async def ahead_of_new(connection: AsyncConnection, new: "NewExecution", agent: AgentSpec) -> Sequence[UUID]:
    """The executions that a new one has to wait for; only a session that there was can have any.

    Raises:
        SessionBusy: there are some, and it is not to wait.
    """
    concurrency = new.session_concurrency or agent.configuration.get("session_concurrency", "queue")
    if new.session_id is None or concurrency == "parallel":
        return ()
    parameters = {"session_id": new.session_id, "id": new.id}
    await _LOCK.execute(connection, parameters)
    ahead = [row.id for row in await _OPEN.execute(connection, parameters)]
    if ahead and concurrency == "reject":
        detail = f"The session has the execution '{ahead[0]}', which has not ended."
        raise SessionBusy(detail, executions=[str(each) for each in ahead])
    return ahead


def queued(ahead: Sequence[UUID]) -> tuple[ExecutionStatus, list[NewEvent]] | None:
    """Give the status of an execution that has to wait for others, and its event; None if it need not wait."""
    if not ahead:
        return None
    told = {"executions": [str(each) for each in ahead]}
    return ExecutionStatus.WAITING_FOR_SESSION, [NewEvent(type="execution.waiting_for_session", data=told)]


async def is_next(connection: AsyncConnection, row: Row[Any]) -> bool:
    """Whether nothing goes before an execution that waits for its session; holds the session."""
    await _LOCK.execute(connection, {"session_id": row.session_id})
    return (await _AHEAD.execute(connection, {"id": row.id})).first() is None


async def call_next(database: Database, gateway: TemporalGateway, organization_id: UUID, execution_id: UUID) -> int:
    """Tell whatever is next in an execution's session to ask for its place; the reconciler does where this cannot."""
    async with database.transaction(organization_id) as connection:
        row = (await _NEXT.execute(connection, {"id": execution_id})).first()
    if row is None:
        return 0
    try:
        await gateway.place(row.workflow_id, row.first_run_id)
    except HoldfastError as error:
        log.warning("execution not called yet", execution_id=str(row.id), error=error.detail)
        return 0
    return 1
