"""What a suspended turn waits for, and what of it has come."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from db.enums import ENDED
from db.sql import Sql

#: What is waited for is an approval or another execution; one that is gone keeps nobody waiting.
_WAITS = Sql(f"""
    WITH wait AS (
        SELECT CAST(jsonb_array_elements_text(events.data->'waits') AS uuid) AS id
        FROM executions JOIN attempts ON attempts.execution_id = executions.id AND attempts.attempt = executions.attempt
        CROSS JOIN LATERAL (
            SELECT data FROM events WHERE events.execution_id = executions.id AND type = 'execution.waiting'
            ORDER BY seq DESC LIMIT 1
        ) AS events
        WHERE executions.id = :id AND executions.status = 'waiting' AND attempts.status = 'suspended'
    )
    SELECT CAST(wait.id AS text) AS id, coalesce(approvals.status = 'pending' AND approvals.expires_at <= now(), false)
        AS overdue, coalesce(approvals.status <> 'pending', child.status IN ({ENDED}), true) AS come
    FROM wait LEFT JOIN approvals ON approvals.id = wait.id LEFT JOIN executions AS child ON child.id = wait.id
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Waits:
    """Ids of approvals and executions: those that are there or overdue, and whether the turn can go on with them."""

    come: list[str]
    enough: bool


async def waits_of(connection: AsyncConnection, execution_id: UUID) -> Waits:
    """What the execution's suspended turn waits for; nothing where none is suspended."""
    rows = (await _WAITS.execute(connection, {"id": execution_id})).all()
    come = [row.id for row in rows if row.come or row.overdue]
    return Waits(come, bool(rows) and (len(come) == len(rows) or any(row.overdue for row in rows)))
