"""The local stack's key for secrets: made once, kept, for its owner alone; for the processes that seal and open."""

import stat
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from control_plane.local.checks import Check, CheckStatus
from control_plane.local.credentials import Credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.doctor import MachineChecks
from control_plane.local.ports import USUAL
from control_plane.local.secrets_key import SecretsKeyUnusable, lost_keys, secrets_key
from control_plane.local.services import OwnServices
from control_plane.sealing import Keyring, Place
from control_plane.secret_keys import read_keys
from control_plane.settings import Settings


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"

    first, second = secrets_key(path), secrets_key(path)

    assert first == second
    assert len(read_keys(first)) == 1
    assert secrets_key(tmp_path / "another.key") != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"garbage\n", b"", b"\xff\xfe"])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secrets.key"
    path.write_bytes(content)

    with pytest.raises(SecretsKeyUnusable, match=str(path)) as raised:
        secrets_key(path)

    assert "HOLDFAST_SECRETS_KEY" not in str(raised.value)
    assert path.read_bytes() == content


def test_secrets_whose_key_is_lost_are_counted_over_all_organizations(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "secrets.key"
    old = secrets_key(path)
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        assert lost_keys(connection, path) is None
        for number in range(2):
            _store_secret(connection, Keyring.read(old), f"organization-{number}")
        assert lost_keys(connection, path) is None

        path.unlink()
        new = secrets_key(path)
        lost = lost_keys(connection, path) or ""
        path.write_text(f"{new},{old}\n")
        found = lost_keys(connection, path)

    assert lost.startswith(f"2 stored secret(s) cannot be opened: {path} lacks the key of id ")
    assert found is None


def test_doctor_misses_the_key_of_a_database_that_is_there(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)

    none_yet = _key_check(directory)
    directory.postgres.mkdir()
    gone = _key_check(directory)
    directory.secrets_key.write_text("garbage")
    garbage = _key_check(directory)
    directory.secrets_key.unlink()
    secrets_key(directory.secrets_key)
    there = _key_check(directory)

    statuses = [check.status for check in (none_yet, gone, garbage, there)]
    assert statuses == [CheckStatus.OK, CheckStatus.FAIL, CheckStatus.FAIL, CheckStatus.OK]
    assert all(str(directory.secrets_key) in check.detail for check in (gone, garbage))


def _key_check(directory: DataDirectory) -> Check:
    checks = MachineChecks(Settings(data_dir=directory.root), directory).run()
    return next(check for check in checks if check.id == "secrets_key")


def _store_secret(connection: psycopg.Connection[tuple[Any, ...]], keyring: Keyring, organization: str) -> None:
    query = "INSERT INTO organizations (id, name) VALUES (gen_random_uuid(), %s) RETURNING id"
    found = connection.execute(query, (organization,)).fetchone()
    assert found is not None
    sealed = keyring.seal(Place(found[0], "T", 1), "value")
    connection.execute(
        "INSERT INTO secrets (organization_id, name, key_id, wrapped_key, value) VALUES (%s, 'T', %s, %s, %s)",
        (found[0], sealed.key_id, sealed.wrapped_key, sealed.value),
    )


async def test_only_what_speaks_sql_gets_the_key(tmp_path: Path) -> None:
    settings, credentials = Settings(data_dir=tmp_path), Credentials("k", "w", "i")
    async with httpx.AsyncClient() as client:
        own = OwnServices(settings, DataDirectory(tmp_path), USUAL, "postgresql://x", "127.0.0.1:1", client)
        with_key = [own.database_environment(), own.api(credentials).environment]
        without = [service.environment for service in own.workers(credentials)]

    key = (tmp_path / "secrets.key").read_text().strip()
    assert all(environment["HOLDFAST_SECRETS_KEY"] == key for environment in with_key)
    assert not any(key in "".join(environment.values()) for environment in without)
