"""Organizations with keys of every scope, made beneath the API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from control_plane.key_text import key_hash, new_key
from db.enums import Scope

UNKNOWN = "0190a000-0000-7000-8000-000000000000"

#: What an organization's people do, and what its workers do.
PEOPLE = [Scope.READ, Scope.WRITE, Scope.ADMIN]

_INSERT_KEY = (
    "INSERT INTO api_keys (id, organization_id, name, prefix, hash, scopes, expires_at, revoked_at)"
    " VALUES (%s, %s, 'test', 'hf_test', %s, %s, %s, %s)"
)


@dataclass(frozen=True)
class Organization:
    """An organization; `keys` by what they open."""

    id: UUID
    keys: Mapping[str, str]

    def auth(self, key: str = "people") -> dict[str, str]:
        """The header that a key goes into."""
        return {"Authorization": f"Bearer {self.keys[key]}"}


async def operator(database_url: str) -> Organization:
    """The organization that runs the stack's workers, with keys of its own."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute("SELECT id FROM organizations WHERE operator")).fetchone()
        assert row is not None
        return Organization(row[0], await _keys(connection, row[0]))


async def new_organization(database_url: str, name: str) -> Organization:
    """One more organization."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        organization_id = uuid4()
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, %s)", (organization_id, name))
        return Organization(organization_id, await _keys(connection, organization_id))


async def _keys(connection: psycopg.AsyncConnection[Any], organization_id: UUID) -> dict[str, str]:
    past = datetime.now(UTC) - timedelta(minutes=1)
    keys = {scope.value: await _key(connection, organization_id, [scope]) for scope in Scope}
    keys["people"] = await _key(connection, organization_id, PEOPLE)
    keys["expired"] = await _key(connection, organization_id, list(Scope), expires_at=past)
    keys["revoked"] = await _key(connection, organization_id, list(Scope), revoked_at=past)
    return keys


async def _key(
    connection: psycopg.AsyncConnection[Any],
    organization_id: UUID,
    scopes: Sequence[Scope],
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> str:
    key = new_key()
    values = (uuid4(), organization_id, key_hash(key), [scope.value for scope in scopes], expires_at, revoked_at)
    await connection.execute(_INSERT_KEY, values)
    return key


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem, which has all that a problem must have."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "code", "detail", "hint", "field", "request_id"} <= problem.keys()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, problem["code"]
