"""Agents, and the versions that executions pin."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from control_plane.api.agents.inheritance import definition, merged
from control_plane.api.agents.schemas import Agent as AgentBody
from control_plane.api.agents.schemas import CreateAgent, ListAgents, UpdateAgent
from control_plane.api.agents.warnings import agent_warnings, secret_warnings
from control_plane.api.executions.placement import Definition
from control_plane.api.runtimes.description import manifests_of
from control_plane.api.runtimes.liveness import pools_of
from control_plane.api.runtimes.service import Manifests, Workers, check_runtime
from control_plane.api.schemas import Notice
from control_plane.api.secrets.moving import moved, secret_settings
from control_plane.api.secrets.service import Secrets
from control_plane.api.templates.service import Templates
from control_plane.errors import AgentInUse, NameConflict, NotFound, OptionUnsupported, PromptTooLarge, VersionConflict
from control_plane.sealing import Keyring
from db.enums import TERMINAL
from db.models.agents import Agent, AgentVersion
from db.models.executions import Execution
from runtimes.frameworks import FrameworksConfig
from runtimes.resolver import RuntimeResolver
from runtimes.templates import Template
from services.control_plane_client.models import AgentSpec
from services.secret_places import references_in

#: Bytes of a system prompt.
MAX_SYSTEM_PROMPT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Agents:
    """One organization's agents, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    manifests: Manifests
    workers: Workers = ()
    frameworks: FrameworksConfig = field(default_factory=FrameworksConfig)
    keyring: Keyring | None = None

    async def create(self, body: CreateAgent) -> AgentBody:
        """Make an agent.

        Raises:
            NameConflict: the name is taken.
            TemplateUnknown, FieldMissing, RuntimeUnknown, OptionUnsupported, PromptTooLarge: it cannot be run.
            SecretsKeyMissing, ValueInvalid: its plain values cannot be kept.
        """
        values = definition(body, await self._template(body.template, keep=True))
        self._check(values)
        notices = await self._move(body.name, values["runtime"], values)
        mine = {"id": uuid7(), "organization_id": self.organization_id}
        return await self._store(insert(Agent).values(mine | values), notices)

    async def get(self, id_or_name: str) -> AgentBody:
        """One agent, by id or by name.

        Raises:
            NotFound: there is none.
        """
        return await self._body(await self._row(id_or_name))

    async def definition(self, id_or_name: str) -> Definition:
        """One agent as the resolver sees it.

        Raises:
            NotFound: there is none.
        """
        return (await self._definitions([await self._row(id_or_name)]))[0]

    async def draft(self, body: CreateAgent) -> Definition:
        """An agent that is not stored, as the resolver sees it.

        Raises:
            TemplateUnknown, RuntimeUnknown: it names what does not exist.
        """
        if body.runtime is not None:
            check_runtime(body.runtime, self.manifests, self.workers, "/agent/runtime", may_come=True)
        template = await self._template(body.template, "/agent/template")
        values = merged(body, template)
        given = {"id": "", "version": 0, "runtime": values["runtime"] or "", "model_id": values["model_id"] or ""}
        return Definition(AgentSpec.model_validate(values | given), template)

    async def page(self, wanted: ListAgents, after: tuple[datetime, UUID] | None) -> list[AgentBody]:
        """Agents, newest first, one more than asked for where there are more."""
        query = self._mine()
        if wanted.runtime is not None:
            query = query.where(Agent.runtime == wanted.runtime)
        if after is not None:
            query = query.where(tuple_(Agent.created_at, Agent.id) < after)
        return await self._bodies((await self.connection.execute(query.limit(wanted.limit + 1))).all())

    async def update(self, id_or_name: str, body: UpdateAgent, expected: Collection[int] | None) -> AgentBody:
        """Replace the given fields; `expected` are the versions that the caller may have seen.

        Raises:
            VersionConflict: somebody else changed the agent meanwhile.
            NotFound, NameConflict, RuntimeUnknown, OptionUnsupported, PromptTooLarge: as above.
            SecretsKeyMissing, ValueInvalid: as above.
        """
        row = await self._expected(id_or_name, expected)
        values = body.model_dump(mode="json", exclude_unset=True)
        if not values:
            return await self._body(row)
        self._check({**row._mapping, **values})  # pyright: ignore[reportPrivateUsage]
        if "runtime" in values:
            # What is a secret depends on the runtime.
            values.setdefault("configuration", row.configuration)
        notices = await self._move(values.get("name", row.name), values.get("runtime", row.runtime), values)
        changed = values | {"version": row.version + 1, "updated_at": func.now()}
        return await self._store(update(Agent).where(Agent.id == row.id).values(changed), notices)

    async def delete(self, id_or_name: str, expected: Collection[int] | None) -> None:
        """Delete an agent; its executions stay.

        Raises:
            AgentInUse: executions of it have not ended.
            VersionConflict: somebody changed the agent meanwhile.
        """
        row = await self._expected(id_or_name, expected)
        query = select(func.count()).where(Execution.agent_id == row.id, Execution.status.not_in(TERMINAL))
        if count := (await self.connection.execute(query)).scalar_one():
            raise AgentInUse(f"{count} of its executions have not ended.", executions=count)
        await self.connection.execute(delete(Agent).where(Agent.id == row.id))

    def _mine(self) -> Select[Any]:
        query = select(Agent.__table__).where(Agent.organization_id == self.organization_id)
        return query.order_by(Agent.created_at.desc(), Agent.id.desc())

    async def _expected(self, id_or_name: str, versions: Collection[int] | None) -> Row[Any]:
        row = await self._row(id_or_name, lock=True)
        if versions is not None and row.version not in versions:
            raise VersionConflict(f"The agent has version {row.version} by now.", current_version=row.version)
        return row

    async def _row(self, id_or_name: str, *, lock: bool = False) -> Row[Any]:
        query = self._mine().where(or_(Agent.name == id_or_name, *_by_id(id_or_name)))
        row = (await self.connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound("There is no agent with this id or name.", hint="See: holdfast agents list")
        return row

    async def _move(self, name: str, runtime: str | None, values: dict[str, Any]) -> list[Notice]:
        """Let the store have what the values hold that may be secret."""
        manifests = manifests_of(self.manifests, self.workers)
        left, notices = await moved(self._secrets(), name, values, secret_settings(manifests, runtime))
        values.update(left)
        return notices

    def _secrets(self) -> Secrets:
        return Secrets(self.connection, self.organization_id, self.keyring)

    async def _store(self, statement: Any, notices: Sequence[Notice]) -> AgentBody:
        try:
            row = (await self.connection.execute(statement.returning(Agent.__table__))).one()
        except IntegrityError as error:
            raise NameConflict("There is another agent of this name.", field="/name") from error
        spec = _spec(row)
        version = {
            "organization_id": self.organization_id,
            "agent_id": row.id,
            "version": row.version,
            "spec": spec.model_dump(),
        }
        await self.connection.execute(insert(AgentVersion).values(version))
        body = await self._body(row)
        return body.model_copy(update={"warnings": [*notices, *body.warnings]})

    async def _body(self, row: Row[Any]) -> AgentBody:
        return (await self._bodies([row]))[0]

    async def _bodies(self, rows: Sequence[Row[Any]]) -> list[AgentBody]:
        """The agents as the API shows them."""
        manifests, pools = manifests_of(self.manifests, self.workers), pools_of(self.workers)
        resolver = RuntimeResolver(manifests, self.frameworks)
        references = {row.id: references_in(row.toolsets, row.configuration) for row in rows}
        secrets = await self._secrets().names(set[str]().union(*references.values()))
        bodies: list[AgentBody] = []
        for row, definition_ in zip(rows, await self._definitions(rows), strict=True):
            resolution = resolver.resolve(definition_.wanted(), pools)
            warnings = agent_warnings(row, resolution, manifests, self.workers)
            warnings += secret_warnings(references[row.id] - secrets)
            bodies.append(AgentBody.model_validate(row).model_copy(update={"warnings": warnings}))
        return bodies

    async def _template(self, name: str | None, field: str = "/template", *, keep: bool = False) -> Template | None:
        templates = Templates(self.connection, self.organization_id, self.manifests)
        return await templates.require(name, field, keep=keep) if name else None

    async def _definitions(self, rows: Sequence[Row[Any]]) -> list[Definition]:
        templates = Templates(self.connection, self.organization_id, self.manifests)
        found = await templates.named({row.template for row in rows if row.template})
        return [Definition(_spec(row), found.get(row.template)) for row in rows]

    def _check(self, values: Mapping[str, Any]) -> None:
        if len(values["system_prompt"].encode()) > MAX_SYSTEM_PROMPT:
            raise PromptTooLarge(f"A system prompt has at most {MAX_SYSTEM_PROMPT} bytes.", field="/system_prompt")
        if values["runtime"] is not None:
            check_runtime(values["runtime"], self.manifests, self.workers, may_come=True)
        self._check_settings(values["runtime"], values["configuration"].get("runtime_config", {}))

    def _check_settings(self, runtime: str | None, settings: Mapping[str, Any]) -> None:
        """Settings suit the agent's runtime, or where that is left open at least one."""
        manifests = manifests_of(self.manifests, self.workers)
        names = manifests if runtime is None else [runtime]
        problems = [manifests[name].problems(settings) for name in names if name in manifests]
        if problems and all(problems):
            raise OptionUnsupported(" ".join(min(problems, key=len)), field="/configuration/runtime_config")


def _spec(row: Row[Any]) -> AgentSpec:
    values = row._asdict()  # pyright: ignore[reportPrivateUsage]
    return AgentSpec.model_validate({**values, "id": str(row.id), "runtime": row.runtime or ""})


def _by_id(text: str) -> list[Any]:
    try:
        return [Agent.id == UUID(text)]
    except ValueError:
        return []
