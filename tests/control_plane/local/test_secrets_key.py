"""The local stack's key for secrets: made once, kept, for its owner alone; for the processes that seal and open."""

import stat
from pathlib import Path

import httpx

from control_plane.local.credentials import Credentials
from control_plane.local.directory import DataDirectory
from control_plane.local.ports import USUAL
from control_plane.local.secrets_key import secrets_key
from control_plane.local.services import OwnServices
from control_plane.secret_keys import read_keys
from control_plane.settings import Settings


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"

    first, second = secrets_key(path), secrets_key(path)

    assert first == second
    assert len(read_keys(first)) == 1
    assert secrets_key(tmp_path / "another.key") != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_only_what_speaks_sql_gets_the_key(tmp_path: Path) -> None:
    settings, credentials = Settings(data_dir=tmp_path), Credentials("k", "w", "i")
    async with httpx.AsyncClient() as client:
        own = OwnServices(settings, DataDirectory(tmp_path), USUAL, "postgresql://x", "127.0.0.1:1", client)
        with_key = [own.database_environment(), own.api(credentials).environment]
        without = [service.environment for service in own.workers(credentials)]

    key = (tmp_path / "secrets.key").read_text().strip()
    assert all(environment["HOLDFAST_SECRETS_KEY"] == key for environment in with_key)
    assert not any(key in "".join(environment.values()) for environment in without)
