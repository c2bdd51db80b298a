"""The SQL of attempts and turns. What changes an execution logs its events in the same statement."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.events import log
from db.enums import AttemptState, ExecutionStatus, TurnState
from db.sql import Sql
from runtimes.turns import ExecutionEnd, TurnOutcome
from runtimes.types import Usage
from services.control_plane_client.models import CloseAttempt, NewEvent, OpenAttempt
from services.storable import storable_json

#: What an end cuts off: open steps, but for calls that wait, and approvals that nobody needs any more. What of it was
#: told to begin is told to end, before all that is logged after it; `fence` counts `ends` with it.
_CUT = """
    cut AS (
        UPDATE steps SET ended_at = now(), status = CASE
            WHEN kind = 'model_call' OR effect = 'at_most_once' THEN 'unknown' ELSE 'cancelled' END
        WHERE execution_id = :id AND status = 'claimed'
            AND turn = (SELECT attempt_turn FROM executions WHERE id = :id) AND NOT {waits}
        RETURNING kind, key, name, status
    ), withdrawn AS (
        UPDATE approvals SET status = 'withdrawn', decided_at = now()
        WHERE execution_id = :id AND status = 'pending' AND {over} RETURNING id
    ), ends AS (
        SELECT 'tool.' || status AS type, jsonb_build_object('tool_call_id', key, 'name', name) AS data,
            (SELECT attempt FROM executions WHERE id = :id) AS attempt
        FROM cut WHERE kind = 'tool_call'
        UNION ALL SELECT 'approval.withdrawn', jsonb_build_object('approval_id', id), NULL FROM withdrawn
    )
"""
_TOLD = """
    , told AS (
        INSERT INTO events (organization_id, execution_id, seq, turn, attempt, type, data)
        SELECT fence.organization_id, fence.id, fence.last_seq - :count - row_number() OVER () + 1, fence.turn,
            coalesce(ends.attempt, fence.attempt), ends.type, ends.data
        FROM fence, ends
    )
"""
#: Whether a call of a suspended turn waits: its end comes with its result, or with the turn's.
_WAITS = """(kind = 'tool_call' AND effect <> 'at_most_once' AND EXISTS (
    SELECT 1 FROM attempts WHERE attempts.execution_id = steps.execution_id AND attempts.attempt = steps.attempt
        AND (attempts.status = 'suspended' OR {suspends})))"""
_CUT_LOST = _CUT.format(over="false", waits=_WAITS.format(suspends="false"))
_CUT_STEPS = _CUT.format(
    over="false", waits=_WAITS.format(suspends=":state = 'suspended' AND attempts.attempt = :attempt")
)
_CUT_ALL = _CUT.format(over="true", waits="false")

_LOCK = Sql("""
    SELECT * FROM executions WHERE id = :id AND organization_id = :organization_id FOR UPDATE
""")
_LOCK_WITH_SPEC = Sql("""
    SELECT executions.*, agent_versions.spec FROM executions
    JOIN agent_versions ON agent_versions.agent_id = executions.agent_id
        AND agent_versions.version = executions.agent_version
    WHERE executions.id = :id AND executions.organization_id = :organization_id FOR UPDATE OF executions
""")
_TURN_OUTCOME = Sql("SELECT outcome FROM turns WHERE execution_id = :id AND turn = :turn")
#: A preempted or suspended attempt ends its dispatch.
_TRIES = Sql("""
    SELECT count(*) FROM attempts
    WHERE execution_id = :id AND turn = :turn AND dispatch = :dispatch AND run_id = :run_id
""")
#: The turn that a message has, and the one that has not ended; they may be the same.
_TURNS = Sql("""
    SELECT turn, coalesce(message_id = :message_id, false) AS is_its_own FROM turns
    WHERE execution_id = :id AND (message_id = :message_id OR turn = :turn AND ended_at IS NULL)
""")
#: A message that was withdrawn is known; what is handed out again tells it once.
_TELL_UNKNOWN = Sql(
    """
    WITH fence AS (
        UPDATE executions SET last_seq = last_seq + :count WHERE id = :id
            AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.id = :message_id AND execution_id = :id)
            AND NOT EXISTS (SELECT 1 FROM events WHERE execution_id = :id AND type = 'message.unknown'
                AND data->>'message_id' = CAST(CAST(:message_id AS uuid) AS text))
        RETURNING organization_id, id, last_seq, nullif(attempt_turn, 0) AS turn, NULL::integer AS attempt
    )
    """,
    log.LOGGED,
)
_STORE_MESSAGE = Sql("""
    INSERT INTO messages (id, organization_id, session_id, execution_id, role, content)
    VALUES (:message_id, :organization_id, :session_id, :id, 'user', :content) ON CONFLICT DO NOTHING
""")
_BEGIN_TURN = Sql("""
    WITH taken AS (
        UPDATE messages SET position = nextval('message_position'), turn = :turn
        WHERE id = :message_id AND execution_id = :id AND turn IS NULL RETURNING content
    ), begun AS (
        INSERT INTO turns (organization_id, execution_id, turn, message_id)
        SELECT :organization_id, :id, :turn, :message_id FROM taken
    )
    SELECT content FROM taken
""")
_LOSE_ATTEMPT = Sql("""
    UPDATE attempts SET status = 'lost', ended_at = now()
    WHERE execution_id = :id AND attempt = :attempt AND status = 'running' RETURNING 1
""")
_CHARGE_LOST = Sql("""
    WITH turn AS (
        UPDATE turns SET usage = CAST(:turn_usage AS jsonb) WHERE execution_id = :id AND turn = :turn
    )
    UPDATE executions SET usage = CAST(:usage AS jsonb), seconds = seconds + greatest(0, extract(epoch FROM
        updated_at - (SELECT started_at FROM attempts WHERE execution_id = :id AND attempt = :attempt)))
    WHERE id = :id
""")
_BEGIN_ATTEMPT = Sql(
    f"""
    WITH {_CUT_LOST}, begun AS (
        INSERT INTO attempts (organization_id, execution_id, attempt, turn, dispatch, try_number, run_id, worker_id)
        VALUES (:organization_id, :id, :attempt, :turn, :dispatch, :try_number, :run_id, :worker_id)
    ), emptied AS (
        DELETE FROM deltas WHERE execution_id = :id AND :attempt > 1
    ), fence AS (
        UPDATE executions SET attempt = :attempt, attempt_turn = :turn, attempt_dispatch = :dispatch,
            attempt_try = :try_number, attempt_run = :run_id, attempt_token = :token, attempt_batch = 0,
            worker_id = :worker_id, status = 'running', started_at = coalesce(started_at, now()),
            last_seq = last_seq + :count + (SELECT count(*) FROM ends), updated_at = now()
        WHERE id = :id RETURNING organization_id, id, last_seq, attempt_turn AS turn, attempt
    )
    {_TOLD}
    """,  # noqa: S608
    log.LOGGED,
)
_CONVERSATION = Sql("""
    SELECT role, content FROM messages
    WHERE session_id = :session_id AND position <= (
        SELECT position FROM messages WHERE execution_id = :id AND turn = :turn AND role = 'user'
    )
    ORDER BY position
""")
_END_ATTEMPT = Sql(
    f"""
    WITH {_CUT_STEPS}, ended AS (
        UPDATE attempts SET status = :state, ended_at = now(), error = CAST(:error AS jsonb)
        WHERE execution_id = :id AND attempt = :attempt RETURNING started_at
    ), turn AS (
        UPDATE turns SET usage = CAST(:turn_usage AS jsonb) WHERE execution_id = :id AND turn = :turn
    ), emptied AS (
        DELETE FROM deltas WHERE execution_id = :id
    ), fence AS (
        UPDATE executions SET attempt_batch = {log.CLOSED}, usage = CAST(:usage AS jsonb),
            status = CASE WHEN :state = 'suspended' THEN 'waiting' ELSE status END,
            seconds = seconds + extract(epoch FROM now() - (SELECT started_at FROM ended)),
            model = coalesce(nullif(CAST(:model AS text), ''), model),
            finish_reason = coalesce(:finish_reason, finish_reason),
            last_seq = last_seq + :count + (SELECT count(*) FROM ends), updated_at = now()
        WHERE id = :id RETURNING organization_id, id, last_seq, attempt_turn AS turn, attempt
    )
    {_TOLD}
    """,  # noqa: S608
    log.LOGGED,
)
_END_TURN = Sql(
    f"""
    WITH {_CUT_ALL}, attempt AS (
        UPDATE attempts SET status = :state, ended_at = now(), error = CAST(:error AS jsonb)
        WHERE execution_id = :id AND attempt = :attempt RETURNING started_at
    ), turn AS (
        UPDATE turns SET status = :state, ended_at = now(), outcome = CAST(:outcome AS jsonb),
            usage = CAST(:turn_usage AS jsonb)
        WHERE execution_id = :id AND turn = :turn
    ), answer AS (
        INSERT INTO messages (id, organization_id, session_id, execution_id, turn, role, content, position)
        SELECT CAST(:message_id AS uuid), :organization_id, :session_id, :id, :turn, 'assistant', :content,
            nextval('message_position')
        WHERE CAST(:message_id AS uuid) IS NOT NULL
    ), emptied AS (
        DELETE FROM deltas WHERE execution_id = :id
    ), fence AS (
        UPDATE executions SET attempt_batch = {log.CLOSED}, status = :status, response = :content, model = :model,
            finish_reason = :finish_reason, usage = CAST(:usage AS jsonb), output = CAST(:output AS jsonb),
            error = CAST(:error AS jsonb),
            seconds = seconds + extract(epoch FROM now() - (SELECT started_at FROM attempt)),
            finished_at = CASE WHEN :finished THEN now() END,
            last_seq = last_seq + :count + (SELECT count(*) FROM ends), updated_at = now()
        WHERE id = :id RETURNING organization_id, id, last_seq, attempt_turn AS turn, attempt
    )
    {_TOLD}
    """,  # noqa: S608
    log.LOGGED,
)
#: Whoever still writes finds the execution ended.
_FINISH = Sql(
    f"""
    WITH {_CUT_ALL}, turn AS (
        UPDATE turns SET status = CASE WHEN :end = 'cancelled' THEN 'interrupted' ELSE 'failed' END, ended_at = now()
        WHERE execution_id = :id AND status = 'running'
    ), emptied AS (
        DELETE FROM deltas WHERE execution_id = :id
    ), fence AS (
        UPDATE executions SET status = :end,
            error = coalesce(CAST(:error AS jsonb), CASE WHEN :end = 'completed' THEN error END), finished_at = now(),
            response = CASE WHEN :end = 'failed' THEN coalesce((
                SELECT data->>'text' FROM events WHERE events.execution_id = :id AND type = 'message.completed'
                    AND events.turn = attempt_turn ORDER BY seq DESC LIMIT 1), response) ELSE response END,
            usage = CAST(:usage AS jsonb), last_seq = last_seq + :count + (SELECT count(*) FROM ends),
            updated_at = now()
        WHERE id = :id
        RETURNING organization_id, id, last_seq, nullif(attempt_turn, 0) AS turn, NULL::integer AS attempt
    )
    {_TOLD}
    """,  # noqa: S608
    log.LOGGED,
)


def _json(value: object) -> str | None:
    return None if value is None else storable_json(orjson.dumps(value)).decode()


async def lock(
    connection: AsyncConnection, organization_id: UUID, execution_id: UUID, *, with_spec: bool
) -> Row[Any] | None:
    """The execution's row, held until the transaction's end."""
    statement = _LOCK_WITH_SPEC if with_spec else _LOCK
    result = await statement.execute(connection, {"id": execution_id, "organization_id": organization_id})
    return result.first()


async def turn_outcome(connection: AsyncConnection, execution_id: UUID, turn: int) -> dict[str, Any] | None:
    """What an ended turn came to; None if it has not ended."""
    return (await _TURN_OUTCOME.execute(connection, {"id": execution_id, "turn": turn})).scalar_one_or_none()


async def turn_of(connection: AsyncConnection, row: Row[Any], message_id: UUID) -> tuple[int | None, int | None]:
    """The turn that a message has, and that of another message which has not ended; None where there is none."""
    parameters = {"id": row.id, "message_id": message_id, "turn": row.attempt_turn}
    found = {each.is_its_own: each.turn for each in await _TURNS.execute(connection, parameters)}
    return found.get(True), found.get(False)


async def tell_unknown(connection: AsyncConnection, execution_id: UUID, message_id: UUID) -> None:
    """Log, once, that a message that was handed over is none of the execution's."""
    told = NewEvent(type="message.unknown", data={"message_id": str(message_id)})
    parameters = {"id": execution_id, "message_id": message_id, **log.counted([told])}
    await _TELL_UNKNOWN.execute(connection, parameters)


async def tries(connection: AsyncConnection, execution_id: UUID, turn: int, request: OpenAttempt) -> int:
    """How many attempts there were since the turn was handed out."""
    parameters = {"id": execution_id, "turn": turn, "dispatch": request.dispatch, "run_id": request.run_id}
    return (await _TRIES.execute(connection, parameters)).scalar_one_or_none()


async def store_message(
    connection: AsyncConnection,
    organization_id: UUID,
    execution_id: UUID,
    session_id: UUID,
    message_id: UUID,
    content: str,
) -> None:
    """Keep a user message that came through Temporal."""
    parameters = {
        "message_id": message_id,
        "organization_id": organization_id,
        "session_id": session_id,
        "id": execution_id,
        "content": content,
    }
    await _STORE_MESSAGE.execute(connection, parameters)


async def begin_turn(
    connection: AsyncConnection, organization_id: UUID, execution_id: UUID, turn: int, message_id: UUID
) -> str | None:
    """Begin a turn with a waiting message and give its text; None if there is no such message."""
    parameters = {
        "organization_id": organization_id,
        "id": execution_id,
        "turn": turn,
        "message_id": message_id,
    }
    return (await _BEGIN_TURN.execute(connection, parameters)).scalar_one_or_none()


async def lose_attempt(connection: AsyncConnection, execution_id: UUID, attempt: int) -> bool:
    """Mark an attempt that never said how it ended; False if it did."""
    result = await _LOSE_ATTEMPT.execute(connection, {"id": execution_id, "attempt": attempt})
    return result.first() is not None


async def charge_lost(connection: AsyncConnection, row: Row[Any], turn_usage: Usage, usage: Usage) -> None:
    """Count what a lost attempt used."""
    parameters = {
        "id": row.id,
        "turn": row.attempt_turn,
        "attempt": row.attempt,
        "turn_usage": turn_usage.model_dump_json(),
        "usage": usage.model_dump_json(),
    }
    await _CHARGE_LOST.execute(connection, parameters)


async def begin_attempt(
    connection: AsyncConnection,
    organization_id: UUID,
    execution_id: UUID,
    attempt: int,
    turn: int,
    request: OpenAttempt,
    events: Sequence[NewEvent],
) -> None:
    """Move the fence."""
    parameters = {
        "organization_id": organization_id,
        "id": execution_id,
        "attempt": attempt,
        "turn": turn,
        "dispatch": request.dispatch,
        "try_number": request.try_number,
        "run_id": request.run_id,
        "token": request.token,
        "worker_id": request.worker_id,
        **log.counted(events),
    }
    await _BEGIN_ATTEMPT.execute(connection, parameters)


async def conversation(
    connection: AsyncConnection, execution_id: UUID, session_id: UUID, turn: int
) -> Sequence[Row[Any]]:
    """The session's messages up to the turn's user message, which is the last one."""
    parameters = {"id": execution_id, "session_id": session_id, "turn": turn}
    return (await _CONVERSATION.execute(connection, parameters)).all()


async def end_attempt(
    connection: AsyncConnection,
    row: Row[Any],
    request: CloseAttempt,
    state: AttemptState,
    usage: Usage,
    events: Sequence[NewEvent],
) -> None:
    """End an attempt whose turn goes on; what it used counts all the same."""
    parameters = {
        "id": row.id,
        "turn": row.attempt_turn,
        "attempt": row.attempt,
        "state": state,
        "error": _json(None if request.error is None else request.error.model_dump()),
        "turn_usage": (request.spent + request.usage).model_dump_json(),
        "usage": usage.model_dump_json(),
        "model": request.model,
        "finish_reason": request.finish_reason,
        **log.counted(events),
    }
    await _END_ATTEMPT.execute(connection, parameters)


async def end_turn(
    connection: AsyncConnection,
    row: Row[Any],
    request: CloseAttempt,
    *,
    status: ExecutionStatus,
    state: TurnState,
    outcome: TurnOutcome,
    usage: Usage,
    answer: tuple[UUID | None, str],
    events: Sequence[NewEvent],
) -> None:
    """End an attempt together with its turn."""
    parameters = {
        "id": row.id,
        "organization_id": row.organization_id,
        "session_id": row.session_id,
        "turn": row.attempt_turn,
        "attempt": row.attempt,
        "state": state,
        "status": status,
        "finished": status is ExecutionStatus.COMPLETED,
        "outcome": _json(outcome.model_dump(mode="json")),
        "turn_usage": outcome.usage.model_dump_json(),
        "usage": usage.model_dump_json(),
        "message_id": answer[0],
        "content": answer[1],
        "model": request.model,
        "finish_reason": request.finish_reason,
        "output": _json(request.output),
        "error": _json(None if request.error is None else request.error.model_dump()),
        **log.counted(events),
    }
    await _END_TURN.execute(connection, parameters)


async def finish(
    connection: AsyncConnection,
    execution_id: UUID,
    end: ExecutionEnd,
    error: dict[str, Any] | None,
    usage: Usage,
    events: Sequence[NewEvent],
) -> None:
    """End an execution, with whatever still ran in it."""
    parameters = {"id": execution_id, "end": end, "error": _json(error), "usage": usage.model_dump_json()}
    await _FINISH.execute(connection, parameters | log.counted(events))
