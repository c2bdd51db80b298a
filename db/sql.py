"""SQL text that goes straight to the driver, for a quarter of the CPU time of SQLAlchemy's execution."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection as Driver
from psycopg.rows import namedtuple_row
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.psycopg import PGDialectAsync_psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

_DIALECT = PGDialectAsync_psycopg()


class Rows:
    """What a statement returned: tuples with names."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def first(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def all(self) -> Sequence[Any]:
        """All rows."""
        return self._rows

    def scalar_one_or_none(self) -> Any:
        """The first column of the first row, or None."""
        return self._rows[0][0] if self._rows else None


class Sql:
    """A statement, in one part or several, with `:name` parameters; prepared on each connection that runs it."""

    def __init__(self, *parts: str) -> None:
        self._query = str(text("".join(parts)).compile(dialect=_DIALECT)).encode()

    async def execute(self, connection: AsyncConnection, parameters: Mapping[str, Any]) -> Rows:
        """Run it in the connection's transaction.

        Raises:
            psycopg.Error: it failed; `Database.transaction` makes it SQLAlchemy's error.
        """
        cursor = driver_of(connection).cursor(row_factory=namedtuple_row)
        await cursor.execute(self._query, parameters, prepare=True)
        return Rows(await cursor.fetchall() if cursor.description else ())


def driver_of(connection: AsyncConnection) -> Driver[Any]:
    """The driver's own connection."""
    proxied: Any = connection.sync_connection
    return proxied.connection.driver_connection
