"""The local stack's own keys."""

import stat
from pathlib import Path

import psycopg

from control_plane.key_text import key_hash
from control_plane.local.credentials import Credentials, read_credentials
from control_plane.local.keys import choose_credentials, ensure_credentials


async def _start(url: str, path: Path) -> Credentials:
    """What a start of the stack does about its keys."""
    chosen = await choose_credentials(url, path)
    await ensure_credentials(url, path, chosen)
    return chosen


async def _execute(url: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(statement.encode())


async def _scopes(url: str, key: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT scopes FROM holdfast_key(%s)", (key_hash(key),))
        row = await found.fetchone()
        return row[0] if row else []


async def test_the_first_start_makes_two_keys_and_only_their_owner_can_read_them(
    postgres_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.toml"

    made = await _start(postgres_url, path)

    assert read_credentials(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await _scopes(postgres_url, made.api_key) == ["read", "write", "admin"]
    assert await _scopes(postgres_url, made.worker_key) == ["worker"]


async def test_later_starts_keep_the_keys(postgres_url: str, tmp_path: Path) -> None:
    first = await _start(postgres_url, tmp_path / "credentials.toml")

    second = await _start(postgres_url, tmp_path / "credentials.toml")

    assert second == first


async def test_keys_that_the_database_does_not_know_are_made_again(postgres_url: str, tmp_path: Path) -> None:
    first = await _start(postgres_url, tmp_path / "credentials.toml")
    await _execute(postgres_url, "DELETE FROM api_keys")

    second = await _start(postgres_url, tmp_path / "credentials.toml")

    assert second != first
    assert await _scopes(postgres_url, second.worker_key) == ["worker"]


async def test_a_revoked_key_is_made_again(postgres_url: str, tmp_path: Path) -> None:
    first = await _start(postgres_url, tmp_path / "credentials.toml")
    await _execute(postgres_url, "UPDATE api_keys SET revoked_at = now() WHERE name = 'local CLI'")

    second = await _start(postgres_url, tmp_path / "credentials.toml")

    assert second.api_key != first.api_key


async def test_a_broken_credentials_file_is_replaced(postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "credentials.toml").write_text("api_key = ")

    made = await _start(postgres_url, tmp_path / "credentials.toml")

    assert read_credentials(tmp_path / "credentials.toml") == made


async def test_before_there_is_a_schema_new_keys_are_chosen_and_nothing_is_stored(
    postgres_server: str, tmp_path: Path
) -> None:
    chosen = await choose_credentials(postgres_server, tmp_path / "credentials.toml")

    assert chosen.api_key != chosen.worker_key
    assert not (tmp_path / "credentials.toml").exists()


async def test_the_file_of_an_older_release_gets_an_identity_secret_and_keeps_its_keys(
    postgres_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "credentials.toml"
    first = await _start(postgres_url, path)
    path.write_text(f'api_key = "{first.api_key}"\nworker_key = "{first.worker_key}"\n')

    second = await _start(postgres_url, path)

    assert (second.api_key, second.worker_key) == (first.api_key, first.worker_key)
    assert second.identity_secret
    assert read_credentials(path) == second
