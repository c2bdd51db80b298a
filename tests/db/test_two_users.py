"""An installation whose tables belong to one user, and whose API logs in as another one."""

import asyncio
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from control_plane.api.credentials import Credentials
from control_plane.first_key import make_first_key
from db.migrate import MigrationRefused, upgrade
from db.session import Database, create_engine
from tests.postgres import as_user, execute


@dataclass(frozen=True)
class Installation:
    """URLs of one database, as its owner and as the API's user, and their names."""

    name: str
    server: str

    @property
    def api_user(self) -> str:
        return f"{self.name}_api"

    @property
    def role(self) -> str:
        return f"{self.name}_role"

    def url(self, user: str) -> str:
        return as_user(self.server, user, self.name)

    def migrate(self, user: str | None = None) -> None:
        upgrade(self.url(user or self.name), app_role=self.role, api_user=self.api_user)


def installed(server: str, name: str) -> Installation:
    execute(server, f"CREATE ROLE {name} LOGIN NOSUPERUSER CREATEROLE")
    execute(server, f"CREATE ROLE {name}_api LOGIN NOSUPERUSER NOCREATEROLE")
    execute(server, f"CREATE DATABASE {name} OWNER {name}")
    return Installation(name, server)


async def test_the_api_of_a_user_of_its_own_serves_what_the_owner_migrated(postgres_server: str) -> None:
    two = installed(postgres_server, "two")
    await asyncio.to_thread(two.migrate)
    await asyncio.to_thread(two.migrate, two.api_user)

    key = await make_first_key(two.url(two.api_user), two.role)

    database = Database(create_engine(two.url(two.api_user), role=two.role, pool_size=1))
    async with database.transaction(None) as connection:
        who = (await connection.execute(text("SELECT session_user::text, current_user::text"))).one()
    principal = await Credentials(database).principal(key or "")
    await database.close()
    assert tuple(who) == (two.api_user, two.role)
    assert principal.scopes == {"admin"}


def test_the_apis_user_changes_no_schema(postgres_server: str) -> None:
    behind = installed(postgres_server, "behind")
    upgrade(behind.url("behind"), app_role=behind.role, api_user=behind.api_user, revision="0006")

    with pytest.raises(MigrationRefused, match="permission denied"):
        behind.migrate(behind.api_user)


def test_a_missing_user_of_the_api_is_an_error_with_its_remedy(postgres_server: str) -> None:
    alone = installed(postgres_server, "alone")
    execute(postgres_server, "DROP ROLE alone_api")

    with pytest.raises(MigrationRefused, match="CREATE ROLE alone_api LOGIN"):
        alone.migrate()


def test_an_owner_that_may_not_grant_is_told_what_a_superuser_runs(postgres_server: str) -> None:
    bound = installed(postgres_server, "bound")
    execute(postgres_server, "CREATE ROLE bound_role NOLOGIN")
    execute(postgres_server, "GRANT bound_role TO bound")

    with pytest.raises(MigrationRefused, match="GRANT bound_role TO bound_api;"):
        bound.migrate()
