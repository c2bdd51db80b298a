"""Writing the event log: gap-free and fenced in one statement."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from db.enums import TERMINAL
from db.sql import Sql
from services.control_plane_client.models import Delta, NewEvent

_OPEN = ", ".join(f"'{status}'" for status in sorted(TERMINAL))

#: Follows a common table expression `fence` with the row that the events belong to: organization_id, id, last_seq
#: (counted up by `:count` already), turn and attempt.
LOGGED = """
    INSERT INTO events (organization_id, execution_id, seq, turn, attempt, type, data)
    SELECT fence.organization_id, fence.id, fence.last_seq - :count + entry.number, fence.turn, fence.attempt,
           entry.value->>'type', coalesce(entry.value->'data', '{}'::jsonb)
    FROM fence, jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY AS entry(value, number)
"""

#: Appends of a running attempt: a repeated batch and an older attempt find no row.
_APPEND = Sql(
    f"""
    WITH fence AS (
        UPDATE executions SET last_seq = last_seq + :count, attempt_batch = :batch, updated_at = now()
        WHERE id = :id AND attempt = :attempt AND attempt_batch < :batch AND status NOT IN ({_OPEN})
        RETURNING organization_id, id, last_seq, attempt_turn AS turn, attempt
    ), emptied AS (
        DELETE FROM deltas WHERE execution_id = :id AND :completes AND EXISTS (SELECT 1 FROM fence)
    ), opened AS (
        INSERT INTO deltas (organization_id, execution_id, attempt, message, "offset", text)
        SELECT organization_id, id, attempt, :message, :offset, :text FROM fence WHERE :text <> ''
    ), logged AS ({LOGGED})
    SELECT last_seq FROM fence
    """  # noqa: S608
)

#: Text alone takes no number and touches no row of the execution.
_APPEND_TEXT = Sql(
    f"""
    INSERT INTO deltas (organization_id, execution_id, attempt, message, "offset", text)
    SELECT organization_id, id, attempt, :message, :offset, :text FROM executions
    WHERE id = :id AND attempt = :attempt AND status NOT IN ({_OPEN})
    ON CONFLICT DO NOTHING
    RETURNING 1
    """  # noqa: S608
)


async def append(
    connection: AsyncConnection,
    execution_id: UUID,
    attempt: int,
    batch: int,
    events: Sequence[NewEvent],
    delta: Delta | None,
) -> bool:
    """Append a batch of a running attempt; False if the attempt may not write it (any more)."""
    if not events:
        result = await _APPEND_TEXT.execute(connection, {"id": execution_id, "attempt": attempt, **_columns(delta)})
        return result.first() is not None
    parameters = {
        "id": execution_id,
        "attempt": attempt,
        "batch": batch,
        "completes": any(event.type == "message.completed" for event in events),
        **counted(events),
        **_columns(delta),
    }
    return (await _APPEND.execute(connection, parameters)).first() is not None


def counted(events: Sequence[NewEvent]) -> dict[str, object]:
    """The parameters of `LOGGED`."""
    body = orjson.dumps([event.model_dump() for event in events]).decode()
    return {"count": len(events), "events": body}


def _columns(delta: Delta | None) -> dict[str, object]:
    delta = delta or Delta(message=0, offset=0, text="")
    return {"message": delta.message, "offset": delta.offset, "text": delta.text}
