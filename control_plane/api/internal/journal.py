"""What the journal of a turn gives back: to an attempt that opens, and piece by piece after that."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import errors
from control_plane.events.journal import Blobs
from db.enums import ENDED, ApprovalStatus
from db.sql import Sql
from runtimes.types import Usage
from services.control_plane_client.models import Decision, NewEvent, Step
from services.storable import storable_json

_STEPS = Sql("""
    SELECT ordinal, kind, status, attempt, key, name, effect, hash, fingerprint, response, response_blob, usage,
        timings, CASE WHEN effect = 'at_most_once' THEN request END AS request
    FROM steps WHERE execution_id = :id AND turn = :turn ORDER BY ordinal
""")
_USAGE_OF_ATTEMPT = Sql("""
    SELECT usage FROM steps WHERE execution_id = :id AND turn = :turn AND attempt = :attempt AND status <> 'unknown'
""")
_TOLD = Sql("""
    SELECT data->>'text' AS text FROM events
    WHERE execution_id = :id AND turn = :turn AND type = 'message.completed' ORDER BY seq
""")
_EXPIRE = Sql("""
    UPDATE approvals SET status = 'expired', decided_at = now()
    WHERE execution_id = :id AND turn = :turn AND status = 'pending' AND expires_at <= now() RETURNING id
""")
_DECISIONS = Sql("""
    SELECT id, kind, key, digest, status, note, "limit", used_at IS NOT NULL AS used,
        extract(epoch FROM expires_at - now())::double precision AS expires_in
    FROM approvals WHERE execution_id = :id
        AND (turn = :turn OR turn < :turn AND kind = 'budget' AND status = 'approved')
    ORDER BY created_at, id
""")
_BLOB = Sql("SELECT data FROM blobs WHERE execution_id = :id AND hash = :hash")
_KEEP_BLOB = Sql("""
    INSERT INTO blobs (organization_id, execution_id, hash, data, size)
    SELECT organization_id, id, :hash, :data, :size FROM executions WHERE id = :id ON CONFLICT DO NOTHING
""")
_HELD = Sql(f"""
    SELECT attempt_turn AS turn FROM executions WHERE id = :id AND attempt = :attempt
    AND status NOT IN ({ENDED}) FOR SHARE
""")  # noqa: S608
_OFFER = Sql("""
    UPDATE turns SET offered = coalesce(offered, :hash) WHERE execution_id = :id AND turn = :turn
""")
_ENTRIES = Sql(
    "SELECT entry FROM turn_entries WHERE execution_id = :id AND turn = :turn AND name = :name ORDER BY position"
)
_APPEND_ENTRIES = Sql("""
    INSERT INTO turn_entries (organization_id, execution_id, turn, name, position, entry)
    SELECT :organization_id, :id, :turn, :name, :position + row.number, row.value
    FROM jsonb_array_elements(CAST(:entries AS jsonb)) WITH ORDINALITY AS row(value, number)
    ON CONFLICT DO NOTHING
""")
_CACHED = Sql("""
    SELECT cached_responses.response FROM cached_responses
    JOIN executions ON executions.agent_id = cached_responses.agent_id
        AND executions.agent_version = cached_responses.agent_version
    WHERE executions.id = :id AND cached_responses.hash = :hash AND cached_responses.expires_at > now()
""")
_CACHE = Sql("""
    WITH stale AS (
        DELETE FROM cached_responses WHERE expires_at < now()
    )
    INSERT INTO cached_responses (organization_id, agent_id, agent_version, hash, response, expires_at)
    SELECT organization_id, agent_id, agent_version, :hash, CAST(:response AS jsonb),
        now() + make_interval(secs => :ttl)
    FROM executions WHERE id = :id AND agent_id IS NOT NULL
    ON CONFLICT (agent_id, agent_version, hash) DO UPDATE
    SET response = excluded.response, expires_at = excluded.expires_at
""")


@dataclass(frozen=True, slots=True)
class TurnJournal:
    """The journal of one turn, inside the caller's transaction."""

    connection: AsyncConnection
    execution_id: UUID
    turn: int

    async def steps(self) -> list[Step]:
        """All steps; requests only of calls that may run once, large responses by their blobs."""
        return [Step.model_validate(row, from_attributes=True) for row in await self._read(_STEPS)]

    async def told(self) -> list[str]:
        """The messages that readers have."""
        return [row.text for row in await self._read(_TOLD)]

    async def decisions(self) -> list[Decision]:
        """All approvals as they are now, and those that raised a limit in an earlier turn."""
        return [Decision.model_validate(row, from_attributes=True) for row in await self._read(_DECISIONS)]

    async def expire(self) -> list[NewEvent]:
        """Close the approvals that nobody decided in time."""
        expired = await self._read(_EXPIRE)
        status = ApprovalStatus.EXPIRED
        return [NewEvent(type=f"approval.{status}", data={"approval_id": str(row.id)}) for row in expired]

    async def used_by(self, attempt: int) -> Usage:
        """What the steps of an attempt used that did not say so itself."""
        parameters = {"id": self.execution_id, "turn": self.turn, "attempt": attempt}
        rows = await _USAGE_OF_ATTEMPT.execute(self.connection, parameters)
        return sum((Usage.model_validate(row.usage) for row in rows), start=Usage())

    async def _read(self, statement: Sql) -> Sequence[Row[Any]]:
        return (await statement.execute(self.connection, {"id": self.execution_id, "turn": self.turn})).all()


@dataclass(frozen=True, slots=True)
class JournalStore:
    """Blobs, entries and cached responses of one execution, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    execution_id: UUID

    async def blob(self, name: str) -> bytes:
        """A blob's bytes.

        Raises:
            errors.NotFound: the execution has no such blob.
        """
        found = await _BLOB.execute(self.connection, {"id": self.execution_id, "hash": name})
        data = found.scalar_one_or_none()
        if data is None:
            raise errors.NotFound(f"The execution has no blob '{name[:80]}'.")
        return zlib.decompress(data)

    async def keep_blob(self, data: bytes) -> str:
        """Keep bytes by their hash; gives it."""
        blobs = Blobs()
        name = blobs.add(data)
        ((deflated,), (size,)) = blobs.columns()["datas"], blobs.columns()["sizes"]
        parameters = {"id": self.execution_id, "hash": name, "data": deflated, "size": size}
        await _KEEP_BLOB.execute(self.connection, parameters)
        return name

    async def keep_offered(self, attempt: int, data: bytes) -> None:
        """Keep the tools that the attempt's turn offers to its model; the first list stays.

        Raises:
            errors.AttemptFenced: a newer attempt holds the turn, or the execution has ended.
        """
        turn = await self._held(attempt)
        parameters = {"id": self.execution_id, "turn": turn, "hash": await self.keep_blob(data)}
        await _OFFER.execute(self.connection, parameters)

    async def entries(self, turn: int, name: str) -> list[Any]:
        """The entries of a runtime's list, in order."""
        parameters = {"id": self.execution_id, "turn": turn, "name": name}
        return [row.entry for row in await _ENTRIES.execute(self.connection, parameters)]

    async def append_entries(self, attempt: int, name: str, position: int, entries: Sequence[Any]) -> None:
        """Add entries after `position` of them; repeating it does nothing.

        Raises:
            errors.AttemptFenced: a newer attempt holds the turn, or the execution has ended.
        """
        parameters = {
            "organization_id": self.organization_id,
            "id": self.execution_id,
            "turn": await self._held(attempt),
            "name": name,
            "position": position,
            "entries": storable_json(orjson.dumps(entries)).decode(),
        }
        await _APPEND_ENTRIES.execute(self.connection, parameters)

    async def _held(self, attempt: int) -> int:
        """The turn that an attempt holds."""
        held = (await _HELD.execute(self.connection, {"id": self.execution_id, "attempt": attempt})).first()
        if held is None:
            raise errors.AttemptFenced("A newer attempt holds the turn.")
        return held.turn

    async def cached(self, name: str) -> Any:
        """The cached response to a request of the execution's agent, in its version; None if there is none."""
        return (await _CACHED.execute(self.connection, {"id": self.execution_id, "hash": name})).scalar_one_or_none()

    async def cache(self, name: str, response: Any, ttl: float) -> None:
        """Keep a response for `ttl` seconds."""
        text = storable_json(orjson.dumps(response)).decode()
        await _CACHE.execute(self.connection, {"id": self.execution_id, "hash": name, "response": text, "ttl": ttl})
