"""Writing the event log: gap-free and fenced in one statement."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.events.journal import journal_parameters
from db.enums import ENDED
from db.sql import Sql
from services.control_plane_client.models import AppendEvents, Delta, NewEvent
from services.storable import storable_json

#: The batch of an attempt that is closed: no append comes after it.
CLOSED = 2**31 - 1
#: Follows a common table expression `fence` with the row that the events belong to: organization_id, id, last_seq
#: (counted up by `:count` already), turn and attempt.
LOGGED = """
    INSERT INTO events (organization_id, execution_id, seq, turn, attempt, type, data)
    SELECT fence.organization_id, fence.id, fence.last_seq - :count + entry.number, fence.turn,
           coalesce(CAST(entry.value->>'attempt' AS integer), fence.attempt), entry.value->>'type',
           coalesce(entry.value->'data', '{}'::jsonb)
    FROM fence, jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY AS entry(value, number)
"""

#: Appends of a running attempt: a repeated batch and an older attempt find no row.
_APPENDED = f"""
    WITH fence AS (
        UPDATE executions SET last_seq = last_seq + :count, attempt_batch = :batch, updated_at = now()
        WHERE id = :id AND attempt = :attempt AND attempt_batch < :batch AND status NOT IN ({ENDED})
        RETURNING organization_id, id, last_seq, attempt_turn AS turn, attempt
    ), emptied AS (
        DELETE FROM deltas WHERE execution_id = :id AND :completes AND EXISTS (SELECT 1 FROM fence)
    ), opened AS (
        INSERT INTO deltas (organization_id, execution_id, attempt, message, "offset", text)
        SELECT organization_id, id, attempt, :message, :offset, :text FROM fence WHERE :text <> ''
    ), logged AS ({LOGGED})
"""  # noqa: S608
_APPEND = Sql(_APPENDED, "SELECT last_seq FROM fence")

#: A step that is stored again keeps the request that it began with, and the moment; one that is stored late began as
#: long ago as its provider took.
_APPEND_JOURNAL = Sql(
    _APPENDED,
    """
    , journalled AS (
        INSERT INTO steps (organization_id, execution_id, turn, ordinal, attempt, kind, status, key, name, effect, hash,
            fingerprint, request, request_blob, response, response_blob, usage, timings, error, started_at, ended_at)
        SELECT fence.organization_id, fence.id, fence.turn, step.ordinal, fence.attempt, step.kind, step.status,
            step.key, step.name, step.effect, step.hash, step.fingerprint, step.request, step.request_blob,
            step.response, step.response_blob, step.usage, step.timings, step.error,
            now() - make_interval(secs => coalesce(CAST(step.timings->>'provider' AS double precision), 0)),
            CASE WHEN step.status <> 'claimed' THEN now() END
        FROM fence, jsonb_to_recordset(CAST(:steps AS jsonb)) AS step(ordinal integer, kind text, status text, key text,
            name text, effect text, hash text, fingerprint text, request jsonb, request_blob text, response jsonb,
            response_blob text, usage jsonb, timings jsonb, error jsonb)
        ON CONFLICT (execution_id, turn, ordinal) DO UPDATE SET attempt = excluded.attempt, status = excluded.status,
            request = coalesce(excluded.request, steps.request),
            request_blob = coalesce(excluded.request_blob, steps.request_blob),
            response = excluded.response, response_blob = excluded.response_blob, usage = excluded.usage,
            timings = excluded.timings, error = excluded.error, ended_at = excluded.ended_at
    ), kept AS (
        INSERT INTO blobs (organization_id, execution_id, hash, data, size)
        SELECT fence.organization_id, fence.id, blob.hash, blob.data, blob.size
        FROM fence, unnest(CAST(:hashes AS text[]), CAST(:datas AS bytea[]), CAST(:sizes AS bigint[]))
            AS blob(hash, data, size)
        ON CONFLICT DO NOTHING
    ), asked AS (
        INSERT INTO approvals (id, organization_id, execution_id, turn, kind, key, digest, name, detail, expires_at)
        SELECT ask.id, fence.organization_id, fence.id, fence.turn, ask.kind, ask.key, ask.digest, ask.name, ask.detail,
            now() + make_interval(secs => ask.expires_seconds)
        FROM fence, jsonb_to_recordset(CAST(:asked AS jsonb)) AS ask(id uuid, kind text, key text, digest text,
            name text, detail jsonb, expires_seconds double precision)
        ON CONFLICT DO NOTHING
    ), acted AS (
        UPDATE approvals SET used_at = now() FROM fence
        WHERE approvals.execution_id = fence.id AND approvals.id = ANY(CAST(:used AS uuid[]))
    )
    SELECT last_seq FROM fence
    """,
)
_PLACE = Sql("UPDATE executions SET workspace = :workspace WHERE id = :id AND attempt = :attempt")

#: Text alone takes no number and touches no row of the execution.
_APPEND_TEXT = Sql(
    f"""
    INSERT INTO deltas (organization_id, execution_id, attempt, message, "offset", text)
    SELECT organization_id, id, attempt, :message, :offset, :text FROM executions
    WHERE id = :id AND attempt = :attempt AND attempt_batch < {CLOSED} AND status NOT IN ({ENDED})
    ON CONFLICT DO NOTHING
    RETURNING 1
    """  # noqa: S608
)


class EventOfAttempt(NewEvent):
    """An event of another attempt than the one that writes it: of a lost one."""

    attempt: int


async def append(connection: AsyncConnection, execution_id: UUID, attempt: int, request: AppendEvents) -> bool:
    """Append a batch of a running attempt; False if the attempt may not write it (any more)."""
    if request.steps or request.asked or request.used:
        return await _append_journal(connection, execution_id, attempt, request)
    if not request.events:
        parameters = {"id": execution_id, "attempt": attempt, **_columns(request.delta)}
        return (await _APPEND_TEXT.execute(connection, parameters)).first() is not None
    return (await _APPEND.execute(connection, _batch(execution_id, attempt, request))).first() is not None


async def _append_journal(connection: AsyncConnection, execution_id: UUID, attempt: int, request: AppendEvents) -> bool:
    journal = journal_parameters(request)
    appended = await _APPEND_JOURNAL.execute(connection, _batch(execution_id, attempt, request) | journal)
    if appended.first() is None:
        return False
    workspaces = [step.workspace for step in request.steps if step.workspace is not None]
    if workspaces:
        await _PLACE.execute(connection, {"id": execution_id, "attempt": attempt, "workspace": workspaces[-1]})
    return True


def _batch(execution_id: UUID, attempt: int, request: AppendEvents) -> dict[str, object]:
    return {
        "id": execution_id,
        "attempt": attempt,
        "batch": request.batch,
        "completes": any(event.type == "message.completed" for event in request.events),
        **counted(request.events),
        **_columns(request.delta),
    }


def counted(events: Sequence[NewEvent]) -> dict[str, object]:
    """The parameters of `LOGGED`."""
    body = storable_json(orjson.dumps([event.model_dump() for event in events]))
    return {"count": len(events), "events": body.decode()}


def _columns(delta: Delta | None) -> dict[str, object]:
    delta = delta or Delta(message=0, offset=0, text="")
    return {"message": delta.message, "offset": delta.offset, "text": delta.text}
