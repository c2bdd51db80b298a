"""The local stack's own API keys: one for the CLI, one for its workers."""

from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from uuid import uuid4

import psycopg

from control_plane.key_text import SHOWN, key_hash, new_key
from control_plane.local.credentials import Credentials, read_credentials, write_credentials

CLI_SCOPES = ["read", "write", "admin"]
WORKER_SCOPES = ["worker"]


async def choose_credentials(database_url: str, path: Path) -> Credentials:
    """The stored keys if the database knows them, else new ones, of which `ensure_credentials` tells it.

    Raises:
        psycopg.Error: the database cannot be reached.
    """
    stored = read_credentials(path)
    if stored is not None and await _are_valid(database_url, stored):
        return stored if stored.identity_secret else replace(stored, identity_secret=_new_secret())
    return Credentials(api_key=new_key(), worker_key=new_key(), identity_secret=_new_secret())


async def ensure_credentials(database_url: str, path: Path, credentials: Credentials) -> None:
    """Tell the database of keys that it does not know, and store them with mode 0600.

    Raises:
        psycopg.Error: the database cannot be reached or has no schema.
    """
    if not await _are_valid(database_url, credentials):
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await insert_key(connection, "local CLI", CLI_SCOPES, credentials.api_key)
            await insert_key(connection, "local workers", WORKER_SCOPES, credentials.worker_key)
    if credentials != read_credentials(path):
        write_credentials(path, credentials)


async def insert_key(connection: psycopg.AsyncConnection, name: str, scopes: list[str], key: str | None = None) -> str:
    """Make a key for the operator's organization, as the database's owner; gives its text, which is kept nowhere."""
    key = key or new_key()
    await connection.execute(
        "INSERT INTO api_keys (id, organization_id, name, prefix, hash, scopes)"
        " SELECT %s, id, %s, %s, %s, %s FROM organizations WHERE operator",
        (uuid4(), name, key[:SHOWN], key_hash(key), scopes),
    )
    return key


def _new_secret() -> str:
    return token_urlsafe(32)


async def _are_valid(database_url: str, stored: Credentials) -> bool:
    hashes = [key_hash(stored.api_key), key_hash(stored.worker_key)]
    query = (
        "SELECT count(*) FROM api_keys"
        " WHERE hash = ANY(%s) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
    )
    try:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            row = await (await connection.execute(query, (hashes,))).fetchone()
    except psycopg.errors.UndefinedTable:
        return False
    return row is not None and row[0] == len(hashes)
