import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, func, select, text

from control_plane.api.credentials import Credentials
from control_plane.first_key import make_first_key
from db.migrate import MigrationRefused, upgrade
from db.models.base import Base
from db.session import Database, driver_url
from db.session import create_engine as application_engine
from tests.db.rows import MODELS, TABLES, fill
from tests.postgres import as_user, database_url, execute

#: Columns, constraints, indexes and kinds of table as PostgreSQL itself describes them.
CATALOG = """
SELECT concat_ws(' ', 'table', relname, relpersistence) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u')
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
FROM information_schema.columns WHERE table_schema = 'public'
"""


def connect(url: str) -> Connection:
    return create_engine(driver_url(url), poolclass=NullPool).connect()


def catalog(url: str) -> set[str]:
    with connect(url) as connection:
        rows = connection.execute(text(CATALOG)).scalars()
        return {row for row in rows if "alembic_version" not in row}


def test_the_migrated_schema_is_that_of_the_models(postgres_url: str) -> None:
    assert {model.__tablename__ for model in MODELS} == set(TABLES)

    with connect(postgres_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        difference = compare_metadata(context, Base.metadata)

    assert difference == []


def test_checks_defaults_and_unlogged_tables_are_those_of_the_models(postgres_server: str, postgres_url: str) -> None:
    execute(postgres_server, "CREATE DATABASE of_models")
    of_models = database_url(postgres_server, "of_models")
    with connect(of_models) as connection:
        Base.metadata.create_all(connection)
        connection.commit()

    assert catalog(postgres_url) == catalog(of_models)


def test_a_second_upgrade_keeps_every_row(postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        fill(connection, "acme")
        connection.commit()

    upgrade(postgres_url)

    with connect(postgres_url) as connection:
        counts = {
            name: connection.execute(select(func.count()).select_from(table)).scalar() for name, table in TABLES.items()
        }
    assert counts == dict.fromkeys(TABLES, 1) | {"organizations": 2, "workers": 0}


def test_two_upgrades_at_once_make_one_schema(postgres_server: str) -> None:
    execute(postgres_server, "CREATE DATABASE twice")
    url = database_url(postgres_server, "twice")

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(upgrade, [url] * 3))

    with connect(url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["0017"]
        assert connection.execute(text("SELECT name, operator FROM organizations")).all() == [("default", True)]


def test_a_missing_role_that_may_not_be_made_is_an_error_with_its_remedy(postgres_server: str) -> None:
    execute(postgres_server, "CREATE ROLE humble LOGIN NOSUPERUSER NOCREATEROLE")
    execute(postgres_server, "CREATE DATABASE of_humble OWNER humble")

    with pytest.raises(MigrationRefused) as refused:
        upgrade(as_user(postgres_server, "humble", "of_humble"), app_role="never_made")

    assert "CREATE ROLE never_made NOLOGIN; GRANT never_made TO humble;" in str(refused.value)


def test_a_role_that_belongs_to_others_is_an_error_with_its_remedy(postgres_server: str) -> None:
    execute(postgres_server, "CREATE ROLE outsider LOGIN NOSUPERUSER NOCREATEROLE")
    execute(postgres_server, "CREATE ROLE of_others NOLOGIN")
    execute(postgres_server, "CREATE DATABASE of_outsider OWNER outsider")

    with pytest.raises(MigrationRefused, match="GRANT of_others TO outsider;"):
        upgrade(as_user(postgres_server, "outsider", "of_outsider"), app_role="of_others")


def test_a_user_without_rights_on_the_schema_is_told_so(postgres_server: str) -> None:
    execute(postgres_server, "CREATE ROLE guest LOGIN NOSUPERUSER CREATEROLE")
    execute(postgres_server, "CREATE DATABASE not_of_guest")

    with pytest.raises(MigrationRefused, match="permission denied for schema public"):
        upgrade(as_user(postgres_server, "guest", "not_of_guest"), app_role="app_of_guest")


@pytest.mark.parametrize("role", ["", "Robert", "a-b", "x; DROP TABLE agents"])
def test_a_strange_role_name_is_refused(postgres_url: str, role: str) -> None:
    with pytest.raises(ValueError, match="is no role name"):
        upgrade(postgres_url, app_role=role)


@pytest.fixture
def postgres_url_of_owner(postgres_server: str) -> Callable[[str], str]:
    def make(name: str) -> str:
        execute(postgres_server, f"CREATE ROLE {name} LOGIN NOSUPERUSER CREATEROLE")
        execute(postgres_server, f"CREATE DATABASE {name} OWNER {name}")
        return as_user(postgres_server, name, name)

    return make


def test_an_owner_without_superuser_rights_migrates_and_its_functions_see_all_organizations(
    postgres_url_of_owner: Callable[[str], str], postgres_server: str
) -> None:
    url = postgres_url_of_owner("plain_owner")

    upgrade(url, app_role="plain_app")

    with connect(database_url(postgres_server, "plain_owner")) as connection:
        organization_id = fill(connection, "acme")
        connection.commit()
    with connect(url) as connection:
        connection.exec_driver_sql("SET ROLE plain_app")
        found = connection.execute(
            text("SELECT organization_id FROM holdfast_key(:hash)"), {"hash": organization_id.bytes}
        )
        assert found.scalars().all() == [organization_id]
        assert connection.execute(text("SELECT count(*) FROM holdfast_unsettled(-1, 10)")).scalar() == 1
        assert connection.execute(text("SELECT holdfast_operator_organization()")).scalar() is not None
        assert connection.execute(text("SELECT count(*) FROM holdfast_sealed_key_ids()")).scalar() == 1
        connection.exec_driver_sql("RESET ROLE")
        assert connection.execute(text("SELECT count(*) FROM api_keys")).scalar() == 0


async def test_the_first_key_is_made_once_by_an_owner_without_superuser_rights(
    postgres_url_of_owner: Callable[[str], str],
) -> None:
    url = postgres_url_of_owner("key_owner")
    await asyncio.to_thread(upgrade, url, app_role="key_app")

    key = await make_first_key(url, "key_app")
    again = await make_first_key(url, "key_app")

    database = Database(application_engine(url, role="key_app", pool_size=1))
    principal = await Credentials(database).principal(key or "")
    await database.close()
    assert (principal.scopes, principal.operator, again) == ({"admin"}, True, None)
