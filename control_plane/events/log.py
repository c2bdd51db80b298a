"""Writing the event log: gap-free and fenced in one statement."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from db.enums import TERMINAL
from services.control_plane_client.models import Delta, NewEvent

_OPEN = ", ".join(f"'{status}'" for status in sorted(TERMINAL))

_INSERT = """
    INSERT INTO events (organization_id, execution_id, seq, turn, attempt, type, data)
    SELECT fence.organization_id, fence.id, fence.last_seq - :count + entry.number, fence.turn, fence.attempt,
           entry.value->>'type', coalesce(entry.value->'data', '{}'::jsonb)
    FROM fence, jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY AS entry(value, number)
"""

#: Appends of a running attempt: a repeated batch and an older attempt find no row.
_APPEND = text(
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
    ), logged AS ({_INSERT})
    SELECT last_seq FROM fence
    """  # noqa: S608
)

#: Text alone takes no number and touches no row of the execution.
_APPEND_TEXT = text(
    f"""
    INSERT INTO deltas (organization_id, execution_id, attempt, message, "offset", text)
    SELECT organization_id, id, attempt, :message, :offset, :text FROM executions
    WHERE id = :id AND attempt = :attempt AND status NOT IN ({_OPEN})
    ON CONFLICT DO NOTHING
    RETURNING 1
    """  # noqa: S608
)

#: Entries of the control plane itself, whose caller holds the execution's row.
_RECORD = text(
    f"""
    WITH fence AS (
        UPDATE executions SET last_seq = last_seq + :count, updated_at = now() WHERE id = :id
        RETURNING organization_id, id, last_seq, CAST(:turn AS integer) AS turn, CAST(:attempt AS integer) AS attempt
    ) {_INSERT}
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
        result = await connection.execute(_APPEND_TEXT, {"id": execution_id, "attempt": attempt, **_columns(delta)})
        return result.first() is not None
    parameters = {
        "id": execution_id,
        "attempt": attempt,
        "batch": batch,
        "completes": any(event.type == "message.completed" for event in events),
        **_counted(events),
        **_columns(delta),
    }
    return (await connection.execute(_APPEND, parameters)).first() is not None


async def record(
    connection: AsyncConnection,
    execution_id: UUID,
    events: Sequence[NewEvent],
    *,
    turn: int | None = None,
    attempt: int | None = None,
) -> None:
    """Record what the control plane itself decided; the caller holds the execution's row lock."""
    parameters = {"id": execution_id, "turn": turn, "attempt": attempt, **_counted(events)}
    await connection.execute(_RECORD, parameters)


def _counted(events: Sequence[NewEvent]) -> dict[str, object]:
    body = orjson.dumps([event.model_dump() for event in events]).decode()
    return {"count": len(events), "events": body}


def _columns(delta: Delta | None) -> dict[str, object]:
    delta = delta or Delta(message=0, offset=0, text="")
    return {"message": delta.message, "offset": delta.offset, "text": delta.text}
