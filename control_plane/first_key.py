"""The first API key of an installation: made with the database's URL, for nobody has a key yet."""

from sqlalchemy import text

from control_plane.api.keys.schemas import CreateKey
from control_plane.api.keys.service import Keys
from control_plane.api.schemas import Paging
from db.enums import Scope
from db.session import Database, create_engine

OPERATOR = text("SELECT holdfast_operator_organization()")


async def make_first_key(database_url: str, role: str | None) -> str | None:
    """The text of a new key with the scope `admin`; None where the operator's organization has keys already.

    Raises:
        sqlalchemy.exc.OperationalError: the database cannot be reached.
    """
    database = Database(create_engine(database_url, role=role, pool_size=1))
    try:
        async with database.transaction(None) as connection:
            organization_id = (await connection.execute(OPERATOR)).scalar_one()
        async with database.transaction(organization_id) as connection:
            keys = Keys(connection, organization_id)
            if await keys.page(Paging(limit=1), None):
                return None
            return (await keys.create(CreateKey(name="first", scopes={Scope.ADMIN}))).key
    finally:
        await database.close()
