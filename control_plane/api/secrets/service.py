"""Secrets of an organization: stored sealed, opened for its attempts only."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.schemas import Paging
from control_plane.api.secrets.schemas import Secret
from control_plane.errors import NotFound
from control_plane.sealing import Keyring, Place, SealBroken, Sealed
from control_plane.secret_errors import SecretInUse, SecretsKeyMissing
from db.enums import ENDED
from db.models.secrets import Secret as SecretRow
from services.control_plane_client.models import SecretsGiven

#: All but what is sealed.
_SHOWN = [SecretRow.__table__.columns[name] for name in Secret.model_fields]

#: Those that refer to a secret: definitions as they are now, and those that executions have begun with.
_USERS = text(f"""
    SELECT 'agent ' || name FROM agents WHERE organization_id = :organization_id
        AND jsonb_path_exists(toolsets || configuration, CAST(:refers AS jsonpath), CAST(:named AS jsonb))
    UNION ALL SELECT 'template ' || name FROM templates WHERE organization_id = :organization_id
        AND jsonb_path_exists(defaults, CAST(:refers AS jsonpath), CAST(:named AS jsonb))
    UNION ALL SELECT 'execution ' || executions.id FROM executions
    JOIN agent_versions ON agent_versions.agent_id = executions.agent_id
        AND agent_versions.version = executions.agent_version
    WHERE executions.organization_id = :organization_id AND executions.status NOT IN ({ENDED})
        AND jsonb_path_exists(spec, CAST(:refers AS jsonpath), CAST(:named AS jsonb))
    LIMIT 5
""")  # noqa: S608
_REFERS = "$.** ? (@.secret == $name)"


@dataclass(frozen=True, slots=True)
class Secrets:
    """One organization's secrets, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    keyring: Keyring | None

    async def put(self, name: str, value: str) -> Secret:
        """Store a value, in place of the present one.

        Raises:
            SecretsKeyMissing: there is no key to seal it with.
        """
        row = await self._insert(name, value) or await self._replace(name, value)
        return Secret.model_validate(row)

    async def add(self, values: Mapping[str, str]) -> set[str]:
        """Store values that stood in a definition; gives the names that were free.

        Raises:
            SecretsKeyMissing: there is no key to seal them with.
        """
        if not values:
            return set()
        rows = [self._sealed(name, 1, value) | {"moved": True} for name, value in values.items()]
        statement = insert(SecretRow).values(rows).on_conflict_do_nothing().returning(SecretRow.name)
        return set((await self.connection.execute(statement)).scalars())

    async def get(self, name: str) -> Secret:
        """One secret, without its value.

        Raises:
            NotFound: there is none.
        """
        row = (await self.connection.execute(self._mine().where(SecretRow.name == name))).first()
        if row is None:
            raise NotFound("There is no secret of this name.", hint="See: holdfast secrets list")
        return Secret.model_validate(row)

    async def page(self, wanted: Paging, after: str) -> list[Secret]:
        """Secrets by name, one more than asked for where there are more."""
        query = self._mine().where(SecretRow.name > after).order_by(SecretRow.name).limit(wanted.limit + 1)
        return [Secret.model_validate(row) for row in await self.connection.execute(query)]

    async def names(self, wanted: Collection[str]) -> set[str]:
        """Those of the names that there are."""
        if not wanted:
            return set()
        query = select(SecretRow.name).where(*self._own(wanted))
        return set((await self.connection.execute(query)).scalars())

    async def delete(self, name: str) -> None:
        """Delete a secret that nothing refers to.

        Raises:
            NotFound: there is none.
            SecretInUse: agents, templates, or executions that have not ended refer to it.
        """
        await self.get(name)
        users = await self._users(name)
        if users:
            raise SecretInUse(f"It is used by: {', '.join(users)}.", used_by=list(users))
        await self.connection.execute(delete(SecretRow).where(*self._own([name])))

    async def values(self, names: Collection[str]) -> SecretsGiven:
        """The values of those of the names that there are."""
        given = SecretsGiven()
        if not names:
            return given
        for row in await self.connection.execute(select(SecretRow.__table__).where(*self._own(names))):
            try:
                given.values[row.name] = self._opened(row)
            except SealBroken as broken:
                given.broken[row.name] = str(broken)
        return given

    def _opened(self, row: Row[Any]) -> str:
        if self.keyring is None:
            raise SealBroken("The API has no key for secrets: its operator sets HOLDFAST_SECRETS_KEY.")
        place = Place(self.organization_id, row.name, row.version)
        return self.keyring.open(place, Sealed(row.key_id, row.wrapped_key, row.value))

    async def _users(self, name: str) -> Sequence[str]:
        parameters = {"organization_id": self.organization_id, "refers": _REFERS, "named": json.dumps({"name": name})}
        return (await self.connection.execute(_USERS, parameters)).scalars().all()

    async def _insert(self, name: str, value: str) -> Row[Any] | None:
        values = self._sealed(name, 1, value)
        statement = insert(SecretRow).values(values).on_conflict_do_nothing().returning(*_SHOWN)
        return (await self.connection.execute(statement)).first()

    async def _replace(self, name: str, value: str) -> Row[Any]:
        query = select(SecretRow.version).where(*self._own([name])).with_for_update()
        version = (await self.connection.execute(query)).scalar_one() + 1
        values = self._sealed(name, version, value) | {"updated_at": func.now()}
        statement = update(SecretRow).where(*self._own([name])).values(values).returning(*_SHOWN)
        return (await self.connection.execute(statement)).one()

    def _sealed(self, name: str, version: int, value: str) -> dict[str, Any]:
        if self.keyring is None:
            raise SecretsKeyMissing("The API has no key to seal a secret with.")
        sealed = self.keyring.seal(Place(self.organization_id, name, version), value)
        return {
            "organization_id": self.organization_id,
            "name": name,
            "version": version,
            "key_id": sealed.key_id,
            "wrapped_key": sealed.wrapped_key,
            "value": sealed.value,
        }

    def _mine(self) -> Select[Any]:
        return select(*_SHOWN).where(SecretRow.organization_id == self.organization_id)

    def _own(self, names: Collection[str]) -> tuple[ColumnElement[bool], ...]:
        return SecretRow.organization_id == self.organization_id, SecretRow.name.in_(names)
