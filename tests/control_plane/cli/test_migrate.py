"""`holdfast migrate`, the first command of an installation."""

from pathlib import Path

from tests.control_plane.cli.conftest import Cli
from tests.postgres import as_user, execute


def test_a_new_installation_gets_its_first_key_once(tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "holdfast.toml").write_text(f'database_url = "{postgres_url}"\n')
    migrate = ("migrate", "--config", "holdfast.toml", "--first-key")
    holdfast = Cli(tmp_path, "http://127.0.0.1:1")

    first, second = holdfast(*migrate), holdfast(*migrate)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout.startswith("hf_")
    assert second.stdout == ""
    assert "There are API keys already" in second.stderr


def test_the_owner_migrates_and_the_apis_user_makes_the_first_key(tmp_path: Path, postgres_server: str) -> None:
    execute(postgres_server, "CREATE ROLE installer LOGIN NOSUPERUSER CREATEROLE")
    execute(postgres_server, "CREATE ROLE installed_api LOGIN NOSUPERUSER NOCREATEROLE")
    execute(postgres_server, "CREATE DATABASE installer OWNER installer")
    shared = 'database_role = "installer_role"\ndatabase_api_user = "installed_api"\n'
    for user in ("installer", "installed_api"):
        url = as_user(postgres_server, user, "installer")
        (tmp_path / f"{user}.toml").write_text(f'database_url = "{url}"\n{shared}')
    holdfast = Cli(tmp_path, "http://127.0.0.1:1")

    migrated = holdfast("migrate", "--config", "installer.toml")
    key = holdfast("migrate", "--config", "installed_api.toml", "--first-key")

    assert (migrated.returncode, key.returncode) == (0, 0), migrated.stderr + key.stderr
    assert key.stdout.startswith("hf_")
