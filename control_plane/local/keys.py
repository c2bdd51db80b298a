"""The local stack's own API keys: one for the CLI, one for its workers."""

from pathlib import Path
from uuid import uuid4

import psycopg

from control_plane.key_text import SHOWN, key_hash, new_key
from control_plane.local.credentials import Credentials, read_credentials, write_credentials

CLI_SCOPES = ["read", "write", "admin"]
WORKER_SCOPES = ["worker"]


async def ensure_credentials(database_url: str, path: Path) -> Credentials:
    """The stored keys if the database knows them, else new ones, stored with mode 0600.

    Raises:
        psycopg.Error: the database cannot be reached or has no schema.
    """
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        stored = read_credentials(path)
        if stored is not None and await _all_valid(connection, stored):
            return stored
        fresh = Credentials(
            api_key=await insert_key(connection, "local CLI", CLI_SCOPES),
            worker_key=await insert_key(connection, "local workers", WORKER_SCOPES),
        )
    write_credentials(path, fresh)
    return fresh


async def insert_key(connection: psycopg.AsyncConnection, name: str, scopes: list[str]) -> str:
    """Make a key for the operator's organization, as the database's owner; gives its text, which is kept nowhere."""
    key = new_key()
    await connection.execute(
        "INSERT INTO api_keys (id, organization_id, name, prefix, hash, scopes)"
        " SELECT %s, id, %s, %s, %s, %s FROM organizations WHERE operator",
        (uuid4(), name, key[:SHOWN], key_hash(key), scopes),
    )
    return key


async def _all_valid(connection: psycopg.AsyncConnection, stored: Credentials) -> bool:
    hashes = [key_hash(stored.api_key), key_hash(stored.worker_key)]
    found = await connection.execute(
        "SELECT count(*) FROM api_keys"
        " WHERE hash = ANY(%s) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
        (hashes,),
    )
    row = await found.fetchone()
    return row is not None and row[0] == len(hashes)
