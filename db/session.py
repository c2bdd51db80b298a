"""Connections to PostgreSQL, and the transaction that knows its organization."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from db.sql import driver_of

#: Seconds that a request waits for a free connection, and for a new one to open.
POOL_TIMEOUT = 10.0
CONNECT_TIMEOUT = 5


def driver_url(url: str) -> URL:
    """The URL for psycopg, whether it came as postgres://, postgresql:// or postgresql+psycopg://.

    Raises:
        ValueError: the URL names another database or driver, or is none.
    """
    parsed = make_url(url)
    if parsed.drivername not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError(f"'{parsed.drivername}' is not supported: give a postgresql:// URL.")
    return parsed.set(drivername="postgresql+psycopg")


def create_engine(url: str, *, role: str | None, pool_size: int) -> AsyncEngine:
    """A pool of at most `pool_size` connections; each acts as `role` from its start."""
    parsed = driver_url(url)
    given = parsed.query.get("options", ())
    options = [given] if isinstance(given, str) else list(given)
    options.append("-c TimeZone=UTC")
    if role is not None:
        options.append(f"-c role={role}")
    # The driver's own BEGIN would be a round trip of its own: `Database` sends it with the organization.
    return create_async_engine(
        parsed.difference_update_query(["options"]),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_use_lifo=True,
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,
        hide_parameters=True,
        connect_args={"options": " ".join(options), "connect_timeout": CONNECT_TIMEOUT},
    )


class Database:
    """The application's way to its rows: transactions, each on behalf of one organization."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self, organization_id: UUID | None) -> AsyncGenerator[AsyncConnection]:
        """One transaction that sees the organization's rows only; None sees no organization's.

        Commits at the end, rolls back on any exception.

        Raises:
            sqlalchemy.exc.OperationalError: the database cannot be reached.
            sqlalchemy.exc.TimeoutError: no connection became free in time.
        """
        async with self._engine.connect() as connection:
            driver = driver_of(connection)
            try:
                await driver.execute(_begin(organization_id).encode())
                yield connection
                await driver.execute("COMMIT")
            except psycopg.Error as error:
                if broken := driver.closed:
                    await connection.invalidate(error)
                raise DBAPIError.instance(None, None, error, psycopg.Error, connection_invalidated=broken) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _begin(organization_id: UUID | None) -> str:
    if organization_id is None:
        return "BEGIN"
    return f"BEGIN; SET LOCAL holdfast.organization_id = '{UUID(str(organization_id))}'"
