"""Reading the event log: one unbroken story from any position, from any process."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from anyio import CancelScope

from control_plane.events.hub import EventHub
from control_plane.events.position import Position
from db.session import Database
from db.sql import Sql

#: Entries read at once.
PAGE = 500
#: Seconds after which a reader looks without having been told.
POLL_SECONDS = 1.0

TERMINAL_EVENTS = frozenset({"execution.completed", "execution.failed", "execution.cancelled", "execution.timed_out"})
#: Events after which no text of the message before them counts.
RESETS = frozenset({"attempt.started", "message.completed"})

#: One statement is one snapshot: an open message is never seen together with its completion.
_READ = Sql("""
    (SELECT seq, turn, attempt, type, data, created_at, NULL::integer AS message, NULL::integer AS "offset"
     FROM events WHERE execution_id = :id AND seq > :seq ORDER BY seq LIMIT :page)
    UNION ALL
    (SELECT NULL, NULL, deltas.attempt, 'message.delta', to_jsonb(deltas.text), NULL, deltas.message, deltas."offset"
     FROM deltas JOIN executions ON executions.id = deltas.execution_id AND executions.attempt = deltas.attempt
     WHERE deltas.execution_id = :id AND deltas."offset" + char_length(deltas.text) > :offset
     ORDER BY deltas.message, deltas."offset")
""")


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """An event as readers get it: its position, its type and its JSON body."""

    id: str
    type: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Row:
    seq: int | None
    turn: int | None
    attempt: int | None
    type: str
    data: Any
    created_at: datetime | None
    message: int | None
    offset: int | None


class LogReader:
    """Follows one execution's log from a position on."""

    def __init__(self, database: Database, hub: EventHub, organization_id: UUID, execution_id: UUID) -> None:
        self._database = database
        self._hub = hub
        self._organization_id = organization_id
        self._execution_id = execution_id
        self._position = Position()
        self._ended = False

    async def read(self, start: Position, *, follow: bool) -> AsyncGenerator[StreamedEvent, None]:
        """Everything after `start`: up to the terminal event, or to the present end without `follow`."""
        self._position = start
        with self._hub.subscribed(str(self._execution_id)) as subscription:
            while not self._ended:
                before = self._position
                rows = await self._rows()
                for row in rows:
                    for event in self._advance(row):
                        yield event
                if self._position.seq != before.seq:
                    continue
                if not follow:
                    return
                await subscription.heard(POLL_SECONDS)

    async def _rows(self) -> list[_Row]:
        parameters = {
            "id": self._execution_id,
            "seq": self._position.seq,
            "offset": self._position.offset,
            "page": PAGE,
        }
        rows: list[_Row] = []
        # A query that is cut off because its reader hung up would cost the pool a connection.
        with CancelScope(shield=True):
            rows = await self._read(parameters)
        durable = [row for row in rows if row.seq is not None]
        return durable or rows

    async def _read(self, parameters: Mapping[str, Any]) -> list[_Row]:
        async with self._database.transaction(self._organization_id) as connection:
            return [_Row(*row) for row in await _READ.execute(connection, parameters)]

    def _advance(self, row: _Row) -> list[StreamedEvent]:
        if row.seq is None:
            return self._delta(row.data, row)
        rest = self._rest(row)
        offset = 0 if row.type in RESETS else self._position.offset
        self._position = Position(row.seq, offset)
        self._ended = row.type in TERMINAL_EVENTS
        return [*rest, _logged(row)]

    def _rest(self, row: _Row) -> list[StreamedEvent]:
        """A reader that saw the beginning of a message gets its end before its completion."""
        if row.type != "message.completed" or self._position.offset == 0:
            return []
        return self._delta(row.data["text"], _Row(None, row.turn, row.attempt, "", None, None, row.data["message"], 0))

    def _delta(self, whole: str, row: _Row) -> list[StreamedEvent]:
        start = row.offset or 0
        unread = whole[max(self._position.offset - start, 0) :]
        if not unread or start > self._position.offset:
            return []
        data = {"message": row.message, "offset": self._position.offset, "text": unread}
        self._position = Position(self._position.seq, self._position.offset + len(unread))
        body = {"type": "message.delta", "attempt": row.attempt, "data": data}
        return [StreamedEvent(str(self._position), "message.delta", body)]


def _logged(row: _Row) -> StreamedEvent:
    body = {
        "seq": row.seq,
        "turn": row.turn,
        "attempt": row.attempt,
        "type": row.type,
        "data": row.data,
        "created_at": row.created_at.isoformat() if row.created_at else None,
    }
    return StreamedEvent(str(row.seq), row.type, body)
