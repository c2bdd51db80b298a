"""The usage of executions together with those that they have started."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from db.sql import Sql
from runtimes.types import Usage

_CHILDREN = Sql("""
    WITH RECURSIVE family AS (
        SELECT parent_id AS above, id, usage FROM executions WHERE parent_id = ANY(CAST(:ids AS uuid[]))
        UNION ALL
        SELECT family.above, child.id, child.usage FROM executions AS child JOIN family ON child.parent_id = family.id
    )
    SELECT above, usage FROM family
""")


async def usage_below(connection: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, Usage]:
    """Sum up the usage of all the executions that others have started, and of those that these have started."""
    sums: dict[UUID, Usage] = {}
    for row in await _CHILDREN.execute(connection, {"ids": list(ids)}):
        sums[row.above] = sums.get(row.above, Usage()) + Usage.model_validate(row.usage)
    return sums
