"""This installation's id."""

from uuid import UUID

from sqlalchemy import select

from db.models.organizations import Installation
from db.session import Database


class InstallationId:
    """The id that the database gives the installation; read once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._id: UUID | None = None

    async def read(self) -> UUID:
        """The id.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        if self._id is None:
            async with self._database.transaction(None) as connection:
                self._id = (await connection.execute(select(Installation.id))).scalar_one()
        return self._id
