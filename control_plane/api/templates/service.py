"""Templates: an organization's own, and the built-in ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.runtimes.description import manifests_of
from control_plane.api.runtimes.service import Manifests, Workers, check_runtime
from control_plane.api.schemas import Notice
from control_plane.api.secrets.moving import moved, secret_settings
from control_plane.api.secrets.service import Secrets
from control_plane.api.templates.schemas import CreateTemplate, Defaults, ListTemplates, UpdateTemplate
from control_plane.api.templates.schemas import Template as TemplateBody
from control_plane.errors import NameConflict, NotFound, TemplateBuiltIn, TemplateInUse, TemplateUnknown
from control_plane.sealing import Keyring
from db.models.agents import Agent
from db.models.agents import Template as TemplateRow
from runtimes.meant import guess
from runtimes.templates import BUILT_IN, AgentType, Template


@dataclass(frozen=True, slots=True)
class Templates:
    """One organization's templates, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    manifests: Manifests
    workers: Workers = ()
    keyring: Keyring | None = None

    async def create(self, body: CreateTemplate) -> TemplateBody:
        """Make a template.

        Raises:
            NameConflict: the name is taken, or built in.
            RuntimeUnknown: it prefers what does not exist.
            SecretsKeyMissing, ValueInvalid: its plain values cannot be kept.
        """
        if body.name in BUILT_IN:
            raise NameConflict("There is a built-in template of this name.", field="/name")
        values = body.model_dump(mode="json") | {"defaults": _defaults(body.defaults)}
        self._check(values)
        notices = await self._move(body.name, values)
        statement = insert(TemplateRow).values(organization_id=self.organization_id, **values)
        try:
            row = (await self.connection.execute(statement.returning(TemplateRow.__table__))).one()
        except IntegrityError as error:
            raise NameConflict("There is another template of this name.", field="/name") from error
        return _body(row, notices)

    async def get(self, name: str) -> TemplateBody:
        """One template.

        Raises:
            NotFound: there is none.
        """
        return body_of(BUILT_IN[name]) if name in BUILT_IN else _body(await self._row(name))

    async def page(self, wanted: ListTemplates, after: str) -> list[TemplateBody]:
        """Templates by name, one more than asked for where there are more."""
        query = self._mine().where(TemplateRow.name > after).order_by(TemplateRow.name).limit(wanted.limit + 1)
        if wanted.type is not None:
            query = query.where(TemplateRow.type == wanted.type)
        own = [_body(row) for row in await self.connection.execute(query)]
        built_in = [body_of(each) for each in BUILT_IN.values() if wanted.type in (None, each.type)]
        found = [*own, *(each for each in built_in if each.name > after)]
        return sorted(found, key=lambda each: each.name)[: wanted.limit + 1]

    async def update(self, name: str, body: UpdateTemplate) -> TemplateBody:
        """Replace the given fields; agents that were made from it keep what they have.

        Raises:
            NotFound, TemplateBuiltIn, RuntimeUnknown: it cannot be changed, or not so.
            SecretsKeyMissing, ValueInvalid: its plain values cannot be kept.
        """
        row = await self._changeable(name)
        values = body.model_dump(mode="json", exclude_unset=True)
        if not values:
            return _body(row)
        if "defaults" in values:
            values["defaults"] = _defaults(body.defaults)
        self._check(values)
        notices = await self._move(name, values)
        statement = update(TemplateRow).where(*self._own(name)).values(values | {"updated_at": func.now()})
        return _body((await self.connection.execute(statement.returning(TemplateRow.__table__))).one(), notices)

    async def delete(self, name: str) -> None:
        """Delete a template that no agent was made from.

        Raises:
            NotFound, TemplateBuiltIn: it cannot be deleted.
            TemplateInUse: agents were made from it.
        """
        await self._changeable(name)
        query = select(func.count()).where(Agent.organization_id == self.organization_id, Agent.template == name)
        if count := (await self.connection.execute(query)).scalar_one():
            raise TemplateInUse(f"{count} agents were made from it.", agents=count)
        await self.connection.execute(delete(TemplateRow).where(*self._own(name)))

    async def require(self, name: str, field: str = "/template", *, keep: bool = False) -> Template:
        """The template that an agent is made from; `field` is where it is named.

        With `keep` nobody deletes it before the transaction's end.

        Raises:
            TemplateUnknown: there is none; the hint says which was perhaps meant.
        """
        found = await self.named([name], keep=keep)
        if name in found:
            return found[name]
        own = (await self.connection.execute(self._mine().order_by(TemplateRow.name).limit(1000))).all()
        hint = guess(name, {*BUILT_IN, *(row.name for row in own)})
        raise TemplateUnknown(f"There is no template '{name}'.", hint=hint, field=field)

    async def named(self, names: Collection[str], *, keep: bool = False) -> Mapping[str, Template]:
        """Those of the names that there are; with `keep` they stay until the transaction's end."""
        found = {name: BUILT_IN[name] for name in names if name in BUILT_IN}
        if len(found) == len(set(names)):
            return found
        query = self._mine().where(TemplateRow.name.in_(names))
        rows = await self.connection.execute(query.with_for_update(read=True, key_share=True) if keep else query)
        return found | {row.name: template_of(row._asdict()) for row in rows}  # pyright: ignore[reportPrivateUsage]

    async def _move(self, name: str, values: dict[str, Any]) -> list[Notice]:
        secrets = Secrets(self.connection, self.organization_id, self.keyring)
        defaults: dict[str, Any] = values.get("defaults", {})
        manifests = manifests_of(self.manifests, self.workers)
        left, notices = await moved(secrets, name, defaults, secret_settings(manifests))
        defaults.update(left)
        return notices

    def _mine(self) -> Select[Any]:
        return select(TemplateRow.__table__).where(TemplateRow.organization_id == self.organization_id)

    def _own(self, name: str) -> tuple[ColumnElement[bool], ...]:
        return TemplateRow.organization_id == self.organization_id, TemplateRow.name == name

    async def _changeable(self, name: str) -> Row[Any]:
        if name in BUILT_IN:
            raise TemplateBuiltIn(f"The template '{name}' is built in.")
        return await self._row(name, lock=True)

    async def _row(self, name: str, *, lock: bool = False) -> Row[Any]:
        query = self._mine().where(TemplateRow.name == name)
        row = (await self.connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound("There is no template of this name.", hint="See: holdfast templates list")
        return row

    def _check(self, values: Mapping[str, Any]) -> None:
        for index, runtime in enumerate(values.get("preferred_runtimes", ())):
            check_runtime(runtime, self.manifests, self.workers, field=f"/preferred_runtimes/{index}")


def template_of(row: Mapping[str, Any]) -> Template:
    """A row as those who use it see it."""
    return Template(
        name=row["name"],
        type=AgentType(row["type"]),
        title=row["title"],
        description=row["description"],
        preferred=tuple(row["preferred_runtimes"]),
        required=tuple(row["required_capabilities"]),
        defaults=row["defaults"],
    )


def body_of(template: Template, row: Row[Any] | None = None, warnings: Sequence[Notice] = ()) -> TemplateBody:
    """The template as the API shows it; without a row it is built in."""
    return TemplateBody(
        name=template.name,
        title=template.title,
        description=template.description,
        type=template.type,
        preferred_runtimes=list(template.preferred),
        required_capabilities=list(template.required),
        defaults=dict(template.defaults),
        built_in=row is None,
        created_at=None if row is None else row.created_at,
        updated_at=None if row is None else row.updated_at,
        warnings=list(warnings),
    )


def _body(row: Row[Any], warnings: Sequence[Notice] = ()) -> TemplateBody:
    return body_of(template_of(row._asdict()), row, warnings)  # pyright: ignore[reportPrivateUsage]


def _defaults(defaults: Defaults) -> dict[str, Any]:
    """What was given, and nothing that only stands for nothing."""
    values = defaults.model_dump(mode="json", exclude_unset=True)
    if "toolsets" in values:
        values["toolsets"] = [toolset.model_dump(mode="json", exclude_unset=True) for toolset in defaults.toolsets]
    return values
