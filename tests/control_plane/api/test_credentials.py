import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from control_plane.api.credentials import CACHE_SECONDS, Credentials
from control_plane.errors import KeyExpired, KeyInvalid, KeyRevoked
from control_plane.key_text import key_hash, new_key
from db.session import Database, create_engine
from tests.control_plane.api.organizations import Organization, new_organization, operator


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def credentials(module_postgres_url: str, clock: Clock) -> AsyncGenerator[Credentials]:
    database = Database(create_engine(module_postgres_url, role="holdfast_app", pool_size=1))
    yield Credentials(database, clock)
    await database.close()


@pytest.fixture
async def ours(module_postgres_url: str) -> Organization:
    return await operator(module_postgres_url)


async def change(database_url: str, key: str, assignment: str) -> None:
    """Change a key beneath the application."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute(f"UPDATE api_keys SET {assignment} WHERE hash = %s".encode(), (key_hash(key),))


async def test_a_revoked_key_is_remembered_for_less_than_five_seconds(
    credentials: Credentials, clock: Clock, ours: Organization, module_postgres_url: str
) -> None:
    known = await credentials.principal(ours.keys["read"])
    await change(module_postgres_url, ours.keys["read"], "revoked_at = now()")

    clock.now += CACHE_SECONDS
    remembered = await credentials.principal(ours.keys["read"])
    clock.now += 0.1

    assert CACHE_SECONDS <= 5
    assert remembered == known
    with pytest.raises(KeyRevoked):
        await credentials.principal(ours.keys["read"])


async def test_a_forgotten_key_is_asked_for_at_once(
    credentials: Credentials, ours: Organization, module_postgres_url: str
) -> None:
    known = await credentials.principal(ours.keys["read"])
    await change(module_postgres_url, ours.keys["read"], "revoked_at = now()")

    credentials.forget(known.key_id)

    with pytest.raises(KeyRevoked):
        await credentials.principal(ours.keys["read"])


async def test_a_key_expires_while_it_is_remembered(
    credentials: Credentials, ours: Organization, module_postgres_url: str
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    await change(module_postgres_url, ours.keys["write"], f"expires_at = '{soon.isoformat()}'")
    await credentials.principal(ours.keys["write"])

    await asyncio.sleep(0.4)

    with pytest.raises(KeyExpired):
        await credentials.principal(ours.keys["write"])


async def test_a_new_key_works_although_it_was_tried_before(
    credentials: Credentials, ours: Organization, module_postgres_url: str
) -> None:
    key = new_key()
    with pytest.raises(KeyInvalid):
        await credentials.principal(key)
    async with await psycopg.AsyncConnection.connect(module_postgres_url) as connection:
        values = (key_hash(key), key_hash(ours.keys["worker"]))
        await connection.execute("UPDATE api_keys SET hash = %s WHERE hash = %s", values)

    assert (await credentials.principal(key)).scopes == {"worker"}


async def test_only_the_operators_keys_are_the_operators(credentials: Credentials, module_postgres_url: str) -> None:
    ours, theirs = await operator(module_postgres_url), await new_organization(module_postgres_url, "theirs")

    found = [await credentials.principal(each.keys["worker"]) for each in (ours, theirs)]

    assert [(each.organization_id, each.operator) for each in found] == [(ours.id, True), (theirs.id, False)]
