"""Agents, and the versions that executions pin."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from control_plane.api.agents.inheritance import definition
from control_plane.api.agents.schemas import Agent as AgentBody
from control_plane.api.agents.schemas import CreateAgent, ListAgents, UpdateAgent
from control_plane.api.agents.warnings import agent_warnings
from control_plane.api.runtimes.description import manifest_for
from control_plane.api.runtimes.service import Manifests, Workers, check_runtime
from control_plane.api.templates.service import Templates
from control_plane.errors import AgentInUse, NameConflict, NotFound, OptionUnsupported, PromptTooLarge, VersionConflict
from db.enums import TERMINAL
from db.models.agents import Agent, AgentVersion
from db.models.executions import Execution
from services.control_plane_client.models import AgentSpec

#: Bytes of a system prompt.
MAX_SYSTEM_PROMPT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Agents:
    """One organization's agents, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID
    manifests: Manifests
    workers: Workers = ()

    async def create(self, body: CreateAgent) -> AgentBody:
        """Make an agent.

        Raises:
            NameConflict: the name is taken.
            TemplateUnknown, FieldMissing, RuntimeUnknown, OptionUnsupported, PromptTooLarge: it cannot be run.
        """
        templates = Templates(self.connection, self.organization_id, self.manifests)
        template = await templates.require(body.template) if body.template else None
        values = definition(body, template)
        self._check(values)
        return await self._store(insert(Agent).values(id=uuid7(), organization_id=self.organization_id, **values))

    async def get(self, id_or_name: str) -> AgentBody:
        """One agent, by id or by name.

        Raises:
            NotFound: there is none.
        """
        return self._body(await self._row(id_or_name))

    async def page(self, wanted: ListAgents, after: tuple[datetime, UUID] | None) -> Sequence[Row[Any]]:
        """Agents, newest first, one more than asked for where there are more."""
        query = self._mine()
        if wanted.runtime is not None:
            query = query.where(Agent.runtime == wanted.runtime)
        if after is not None:
            query = query.where(tuple_(Agent.created_at, Agent.id) < after)
        return (await self.connection.execute(query.limit(wanted.limit + 1))).all()

    async def update(self, id_or_name: str, body: UpdateAgent, expected: Collection[int] | None) -> AgentBody:
        """Replace the given fields; `expected` are the versions that the caller may have seen.

        Raises:
            VersionConflict: somebody else changed the agent meanwhile.
            NotFound, NameConflict, RuntimeUnknown, OptionUnsupported, PromptTooLarge: as above.
        """
        row = await self._expected(id_or_name, expected)
        values = body.model_dump(mode="json", exclude_unset=True)
        if not values:
            return self._body(row)
        self._check({**row._mapping, **values})  # pyright: ignore[reportPrivateUsage]
        changed = values | {"version": row.version + 1, "updated_at": func.now()}
        return await self._store(update(Agent).where(Agent.id == row.id).values(changed))

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

    def body(self, row: Row[Any]) -> AgentBody:
        """The agent as the API shows it."""
        return self._body(row)

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

    async def _store(self, statement: Any) -> AgentBody:
        try:
            row = (await self.connection.execute(statement.returning(Agent.__table__))).one()
        except IntegrityError as error:
            raise NameConflict("There is another agent of this name.", field="/name") from error
        spec = AgentSpec.model_validate({**row._mapping, "id": str(row.id)})  # pyright: ignore[reportPrivateUsage]
        version = {
            "organization_id": self.organization_id,
            "agent_id": row.id,
            "version": row.version,
            "spec": spec.model_dump(),
        }
        await self.connection.execute(insert(AgentVersion).values(version))
        return self._body(row)

    def _body(self, row: Row[Any]) -> AgentBody:
        return AgentBody.model_validate(row).model_copy(
            update={"warnings": agent_warnings(row, self.manifests, self.workers)}
        )

    def _check(self, values: Mapping[str, Any]) -> None:
        if len(values["system_prompt"].encode()) > MAX_SYSTEM_PROMPT:
            raise PromptTooLarge(f"A system prompt has at most {MAX_SYSTEM_PROMPT} bytes.", field="/system_prompt")
        check_runtime(values["runtime"], self.manifests, self.workers)
        manifest = manifest_for(values["runtime"], self.manifests, self.workers)
        settings = values["configuration"].get("runtime_config", {})
        problems = manifest.problems(settings) if manifest else []
        if problems:
            raise OptionUnsupported(" ".join(problems), field="/configuration/runtime_config")


def _by_id(text: str) -> list[Any]:
    try:
        return [Agent.id == UUID(text)]
    except ValueError:
        return []
