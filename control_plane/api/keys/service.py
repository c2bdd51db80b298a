"""API keys: made, listed, revoked. Of a secret only its hash is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from control_plane.api.keys.schemas import CreateKey, Key, NewKey
from control_plane.api.schemas import Paging
from control_plane.errors import NotFound
from control_plane.key_text import SHOWN, key_hash, new_key
from db.models.organizations import ApiKey

#: All but the hash.
COLUMNS = [column for column in ApiKey.__table__.columns if column.name != "hash"]


@dataclass(frozen=True, slots=True)
class Keys:
    """One organization's keys, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID

    async def create(self, body: CreateKey) -> NewKey:
        """Make a key; its text is in the answer and nowhere else."""
        key = new_key()
        values = {
            "id": uuid7(),
            "organization_id": self.organization_id,
            "name": body.name,
            "prefix": key[:SHOWN],
            "hash": key_hash(key),
            "scopes": sorted(body.scopes),
            "expires_at": body.expires_at,
        }
        row = (await self.connection.execute(insert(ApiKey).values(values).returning(*COLUMNS))).one()
        return NewKey(**Key.model_validate(row).model_dump(), key=key)

    async def page(self, wanted: Paging, after: tuple[datetime, UUID] | None) -> Sequence[Row[Any]]:
        """Keys, newest first, one more than asked for where there are more."""
        query = select(*COLUMNS).where(ApiKey.organization_id == self.organization_id)
        if after is not None:
            query = query.where(tuple_(ApiKey.created_at, ApiKey.id) < after)
        ordered = query.order_by(ApiKey.created_at.desc(), ApiKey.id.desc()).limit(wanted.limit + 1)
        return (await self.connection.execute(ordered)).all()

    async def revoke(self, key_id: UUID) -> None:
        """Revoke a key; once more does nothing.

        Raises:
            NotFound: the organization has no such key.
        """
        mine = (ApiKey.organization_id == self.organization_id, ApiKey.id == key_id)
        revoked_at = func.coalesce(ApiKey.revoked_at, func.now())
        statement = update(ApiKey).where(*mine).values(revoked_at=revoked_at).returning(ApiKey.id)
        if (await self.connection.execute(statement)).first() is None:
            raise NotFound("There is no key with this id.", hint="See: holdfast keys list")
