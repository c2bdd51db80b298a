from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from db.models.agents import Agent
from db.session import Database, create_engine, driver_url
from tests.postgres import execute

WHO = text("SELECT current_user, nullif(current_setting('holdfast.organization_id', true), '')")


@pytest.fixture
async def database(postgres_url: str) -> AsyncGenerator[Database]:
    database = Database(create_engine(postgres_url, role="holdfast_app", pool_size=1))
    yield database
    await database.close()


async def who(connection: AsyncConnection) -> tuple[str, str | None]:
    user, organization = (await connection.execute(WHO)).one()
    return user, organization


async def test_a_transaction_acts_as_the_application_for_one_organization_only(database: Database) -> None:
    organization_id = uuid4()

    async with database.transaction(organization_id) as connection:
        inside = await who(connection)
    async with database.transaction(None) as connection:
        afterwards = await who(connection)

    assert inside == ("holdfast_app", str(organization_id))
    assert afterwards == ("holdfast_app", None)


async def test_a_transaction_commits_at_its_end(database: Database) -> None:
    organization_id = await operator(database)

    await store(database, agent(organization_id))

    async with database.transaction(organization_id) as connection:
        assert (await connection.execute(select(Agent.name))).scalars().all() == ["one"]


async def test_an_exception_takes_everything_back(database: Database) -> None:
    organization_id = await operator(database)

    with pytest.raises(IntegrityError):
        await store(database, agent(organization_id), agent(organization_id))

    async with database.transaction(organization_id) as connection:
        assert (await connection.execute(select(Agent.name))).scalars().all() == []


async def test_a_failed_transaction_leaves_no_organization_behind(database: Database) -> None:
    with pytest.raises(DBAPIError, match="division by zero"):
        await divide_by_zero(database)

    async with database.transaction(None) as connection:
        assert await who(connection) == ("holdfast_app", None)


async def test_an_error_shows_no_values(database: Database) -> None:
    organization_id = await operator(database)

    with pytest.raises(IntegrityError) as failure:
        await store(database, agent(organization_id) | {"id": None, "system_prompt": "a secret"})

    assert "secret" not in str(failure.value)


async def test_a_broken_connection_heals_after_the_error_that_met_it(postgres_url: str, database: Database) -> None:
    async with database.transaction(None) as connection:
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    execute(postgres_url, f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(OperationalError):
        await database.transaction(None).__aenter__()

    async with database.transaction(None) as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1


async def test_options_of_the_url_are_kept(postgres_url: str) -> None:
    url = driver_url(postgres_url).update_query_dict({"options": "-c statement_timeout=1234"}, append=True)
    database = Database(create_engine(url.render_as_string(False), role="holdfast_app", pool_size=1))

    async with database.transaction(None) as connection:
        settings = (await connection.execute(text("SELECT current_setting('statement_timeout'), current_user"))).one()
    await database.close()

    assert tuple(settings) == ("1234ms", "holdfast_app")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_form_of_url_is_accepted(scheme: str) -> None:
    url = driver_url(f"{scheme}://user:pass%2Fword@/name?host=/run/sockets")

    assert url.drivername == "postgresql+psycopg"
    assert (url.password, url.query["host"]) == ("pass/word", "/run/sockets")


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "postgresql+asyncpg://localhost/x"])
def test_other_databases_and_drivers_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="give a postgresql:// URL"):
        driver_url(url)


async def divide_by_zero(database: Database) -> None:
    async with database.transaction(uuid4()) as connection:
        await connection.execute(text("SELECT 1 / 0"))


async def store(database: Database, *agents: dict[str, Any]) -> None:
    async with database.transaction(agents[0]["organization_id"]) as connection:
        for one in agents:
            await connection.execute(insert(Agent).values(one))


async def operator(database: Database) -> UUID:
    async with database.transaction(None) as connection:
        return (await connection.execute(text("SELECT holdfast_operator_organization()"))).scalar_one()


def agent(organization_id: UUID) -> dict[str, Any]:
    return {"id": uuid4(), "organization_id": organization_id, "name": "one", "model_id": "scripted/model"}
