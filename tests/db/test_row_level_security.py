"""The database alone keeps organizations apart, whatever the code above it forgets."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, NullPool, create_engine, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, ProgrammingError

from db.session import driver_url
from tests.db.rows import OWNED, TABLES, fill, owned_rows
from tests.postgres import execute

#: Changed by no statement of the application: the log is immutable, versions are pinned, keys are revoked.
NO_UPDATE = {"events", "agent_versions", "blobs", "turn_entries"}
NO_DELETE = {
    *NO_UPDATE,
    "api_keys",
    "turns",
    "attempts",
    "steps",
    "approvals",
}

UNSETTLED = text("SELECT organization_id FROM holdfast_unsettled(:idle, :limit)")


@dataclass
class Tenants:
    """Two organizations with a row in every table each, and the application's connection."""

    connection: Connection
    a: UUID
    b: UUID

    def act_for(self, organization_id: UUID | None) -> None:
        """Set the organization for the transaction."""
        value = "" if organization_id is None else str(organization_id)
        self.connection.execute(select(func.set_config("holdfast.organization_id", value, True)))

    def organizations_in(self, table: str) -> list[Any]:
        """Whose rows of a table are seen."""
        column = TABLES[table].c["id" if table == "organizations" else "organization_id"]
        return list(self.connection.execute(select(column)).scalars())


@contextmanager
def connected(url: str, a: UUID, b: UUID) -> Generator[Tenants]:
    """A transaction as the application; undone at its end."""
    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql("SET ROLE holdfast_app")
        yield Tenants(connection, a, b)


def filled(url: str) -> tuple[UUID, UUID]:
    """Make two organizations with their rows."""
    with create_engine(driver_url(url), poolclass=NullPool).connect() as connection:
        a, b = fill(connection, "a"), fill(connection, "b")
        connection.commit()
    return a, b


@pytest.fixture(scope="module")
def organizations(module_postgres_url: str) -> tuple[UUID, UUID]:
    return filled(module_postgres_url)


@pytest.fixture
def tenants(module_postgres_url: str, organizations: tuple[UUID, UUID]) -> Generator[Tenants]:
    with connected(module_postgres_url, *organizations) as tenants:
        yield tenants


def test_an_organization_sees_its_own_rows_of_every_table_only(tenants: Tenants) -> None:
    tenants.act_for(tenants.a)

    seen = {table: tenants.organizations_in(table) for table in [*OWNED, "organizations"]}

    assert seen == {table: [tenants.a] for table in [*OWNED, "organizations"]}


def test_nobody_sees_anything(tenants: Tenants) -> None:
    tenants.act_for(None)

    seen = {table: tenants.organizations_in(table) for table in [*OWNED, "organizations"]}

    assert seen == {table: [] for table in [*OWNED, "organizations"]}


def test_a_connection_that_never_named_an_organization_sees_nothing(tenants: Tenants) -> None:
    assert [tenants.organizations_in(table) for table in OWNED] == [[] for _ in OWNED]


@pytest.mark.parametrize("table", OWNED)
def test_no_row_can_be_written_for_another_organization(tenants: Tenants, table: str) -> None:
    tenants.act_for(tenants.a)

    with pytest.raises(ProgrammingError, match="row-level security"):
        tenants.connection.execute(insert(TABLES[table]).values(owned_rows(tenants.b)[table]))


@pytest.mark.parametrize("table", sorted(set(OWNED) - NO_UPDATE))
def test_no_row_of_another_organization_can_be_changed_or_given_away(tenants: Tenants, table: str) -> None:
    tenants.act_for(tenants.a)
    organization = TABLES[table].c.organization_id
    claim = update(TABLES[table]).where(organization == tenants.b).values(organization_id=tenants.a)
    give_away = update(TABLES[table]).values(organization_id=tenants.b)

    assert tenants.connection.execute(claim).rowcount == 0
    with pytest.raises(ProgrammingError, match="row-level security"):
        tenants.connection.execute(give_away)


@pytest.mark.parametrize("table", sorted(set(OWNED) - NO_DELETE))
def test_no_row_of_another_organization_can_be_deleted(tenants: Tenants, table: str) -> None:
    tenants.act_for(tenants.a)

    deleted = tenants.connection.execute(delete(TABLES[table]).where(TABLES[table].c.organization_id == tenants.b))

    assert deleted.rowcount == 0


@pytest.mark.parametrize("table", sorted(NO_UPDATE))
def test_what_is_immutable_cannot_be_changed(tenants: Tenants, table: str) -> None:
    tenants.act_for(tenants.a)

    with pytest.raises(ProgrammingError, match="permission denied"):
        tenants.connection.execute(update(TABLES[table]).values(created_at=func.now()))


@pytest.mark.parametrize("table", sorted(NO_DELETE))
def test_what_is_kept_cannot_be_deleted(tenants: Tenants, table: str) -> None:
    tenants.act_for(tenants.a)

    with pytest.raises(ProgrammingError, match="permission denied"):
        tenants.connection.execute(delete(TABLES[table]))


def test_deleting_an_execution_takes_its_log_along(tenants: Tenants) -> None:
    tenants.act_for(tenants.a)

    tenants.connection.execute(delete(TABLES["executions"]))

    assert [tenants.organizations_in(table) for table in ("events", "turns", "attempts")] == [[], [], []]


def test_the_application_makes_no_organizations(tenants: Tenants) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        tenants.connection.execute(insert(TABLES["organizations"]).values(id=uuid4(), name="c"))


def test_a_strange_organization_is_an_error_and_no_door(tenants: Tenants) -> None:
    tenants.connection.execute(select(func.set_config("holdfast.organization_id", "' OR true", True)))

    with pytest.raises(DBAPIError, match="invalid input syntax for type uuid"):
        tenants.organizations_in("agents")


def test_every_table_of_organizations_is_under_forced_row_level_security(tenants: Tenants) -> None:
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relrowsecurity AND relforcerowsecurity"

    assert set(tenants.connection.execute(text(query)).scalars()) == {*OWNED, "organizations"}


def test_a_key_is_found_by_its_hash_whatever_the_organization(tenants: Tenants) -> None:
    query = text("SELECT organization_id, operator FROM holdfast_key(:hash)")

    found = [tuple(tenants.connection.execute(query, {"hash": one.bytes}).one()) for one in (tenants.a, tenants.b)]

    assert found == [(tenants.a, False), (tenants.b, False)]
    assert tenants.connection.execute(query, {"hash": b"unknown"}).first() is None


def test_unsettled_executions_are_those_that_nobody_touched_for_long(postgres_url: str) -> None:
    a, b = filled(postgres_url)
    execute(postgres_url, f"UPDATE executions {aged(60)} WHERE organization_id = '{a}'")
    execute(postgres_url, f"UPDATE executions {aged(90)} WHERE organization_id = '{b}'")

    with connected(postgres_url, a, b) as tenants:
        assert unsettled(tenants, 30) == [b, a]
        assert unsettled(tenants, 70) == [b]
        assert unsettled(tenants, 30, limit=1) == [b]


def test_an_unsettled_execution_is_given_to_one_replica_only(postgres_url: str) -> None:
    a, b = filled(postgres_url)
    execute(postgres_url, f"UPDATE executions {aged(60)} WHERE organization_id = '{a}'")

    with connected(postgres_url, a, b) as first, connected(postgres_url, a, b) as second:
        claims = [claimed(replica) for replica in (first, second, first)]

    assert claims == [[a], [], []]


def test_executions_that_ended_or_moved_are_settled(postgres_url: str) -> None:
    a, b = filled(postgres_url)
    execute(postgres_url, f"UPDATE executions {aged(60)}, status = 'failed' WHERE organization_id = '{a}'")
    execute(postgres_url, f"UPDATE executions {aged(60)} WHERE organization_id = '{b}'")
    execute(postgres_url, f"UPDATE executions SET updated_at = now() WHERE organization_id = '{b}'")

    with connected(postgres_url, a, b) as tenants:
        assert unsettled(tenants, 30) == []


def test_the_functions_are_for_the_application_only(tenants: Tenants) -> None:
    tenants.connection.exec_driver_sql("RESET ROLE")
    tenants.connection.exec_driver_sql("CREATE ROLE curious NOLOGIN")
    tenants.connection.exec_driver_sql("SET ROLE curious")

    with pytest.raises(ProgrammingError, match="permission denied for function holdfast_key"):
        tenants.connection.execute(text("SELECT holdfast_key('')"))


def aged(seconds: int) -> str:
    moment = f"now() - interval '{seconds} s'"
    return f"SET reconciled_at = {moment}, updated_at = {moment}"


def unsettled(tenants: Tenants, idle: float, limit: int = 10) -> list[UUID]:
    with tenants.connection.begin_nested() as undone:
        found = claimed(tenants, idle, limit)
        undone.rollback()
    return found


def claimed(tenants: Tenants, idle: float = 30, limit: int = 10) -> list[UUID]:
    return list(tenants.connection.execute(UNSETTLED, {"idle": idle, "limit": limit}).scalars())
