"""How an execution comes into being, from the REST API or from a Temporal client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from control_plane.api.executions import session_queue
from control_plane.api.executions.placement import Definition
from control_plane.api.runtimes.service import Manifests, check_runtime, workers_of
from control_plane.api.templates.service import template_of
from control_plane.errors import AgentUnknown, HoldfastError
from control_plane.events import log
from db.enums import ExecutionStatus, Source
from db.models.sessions import Session
from db.sql import Sql
from runtimes.meant import meant
from runtimes.resolver import Resolution
from runtimes.templates import BUILT_IN, Template
from runtimes.turns import USUAL_PRIORITY
from runtimes.types import ExecutionError
from services.budget import Limits
from services.control_plane_client.models import AgentSpec, NewEvent

#: Characters of a prompt that name its session.
TITLE = 80

_AGENT = Sql("""
    SELECT spec, to_jsonb(templates) AS template FROM agents JOIN agent_versions
        ON agent_versions.agent_id = agents.id AND agent_versions.version = agents.version
    LEFT JOIN templates ON templates.organization_id = agents.organization_id AND templates.name = agents.template
    WHERE agents.organization_id = :organization_id AND (agents.name = :name OR agents.id = CAST(:id AS uuid))
""")
#: What an unknown name is compared with: an organization's agents, the latest first.
_NAMES = Sql("SELECT name FROM agents WHERE organization_id = :organization_id ORDER BY updated_at DESC LIMIT 1000")

_PINNED = Sql("""
    SELECT spec, to_jsonb(templates) AS template FROM agent_versions
    LEFT JOIN templates ON templates.organization_id = agent_versions.organization_id
        AND templates.name = spec->>'template'
    WHERE agent_id = :agent_id AND version = :version
""")

_BUDGET = Sql("""
    SELECT spec->'configuration'->'budget' FROM agent_versions WHERE agent_id = :id AND version = :version
""")

_INSERT = Sql(
    """
    WITH execution AS (
        INSERT INTO executions (
            id, organization_id, agent_id, agent_name, agent_version, session_id, workflow_id, first_run_id, runtime,
            task_queue, interactive, status, source, metadata, idempotency_key, request_hash, budget, output_schema,
            parent_id, depth, priority, resolution, last_seq
        ) VALUES (
            :id, :organization_id, :agent_id, :agent_name, :agent_version, :session_id, :workflow_id, :first_run_id,
            :runtime, :task_queue, :interactive, :status, :source, CAST(:metadata AS jsonb), :idempotency_key,
            :request_hash, CAST(:budget AS jsonb), CAST(:output_schema AS jsonb), :parent_id, :depth, :priority,
            CAST(:resolution AS jsonb), :count
        )
        ON CONFLICT DO NOTHING
        RETURNING *
    ), session AS (
        INSERT INTO sessions (id, organization_id, agent_id, title)
        SELECT session_id, organization_id, agent_id, :title FROM execution
        ON CONFLICT (id) DO UPDATE SET updated_at = now()
    ), message AS (
        INSERT INTO messages (id, organization_id, session_id, execution_id, role, content)
        SELECT CAST(:message_id AS uuid), organization_id, session_id, id, 'user', :prompt
        FROM execution WHERE CAST(:message_id AS uuid) IS NOT NULL
    ), fence AS (
        SELECT organization_id, id, last_seq, NULL::integer AS turn, NULL::integer AS attempt FROM execution
    ), logged AS (
    """,
    log.LOGGED,
    ") SELECT * FROM execution",
)

_INSERT_FAILED = Sql("""
    WITH execution AS (
        INSERT INTO executions (
            id, organization_id, agent_name, agent_version, workflow_id, first_run_id, runtime, task_queue, source,
            status, error, last_seq, finished_at
        ) VALUES (
            :id, :organization_id, :agent_name, 0, :workflow_id, :first_run_id, :runtime, '', :source,
            'failed', CAST(:error AS jsonb), 1, now()
        )
        ON CONFLICT DO NOTHING
        RETURNING *
    )
    INSERT INTO events (organization_id, execution_id, seq, type, data)
    SELECT organization_id, id, 1, 'execution.failed', jsonb_build_object('error', error) FROM execution
    RETURNING 1
""")


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What is asked for; `message_id` is None where there is no first message.

    `first_run_id` is Temporal's, of an execution that was started there: its workflow's id may be used again.
    `parent_id` is of the execution that started it, `depth` how many are above it. Of `priority`, 1
    goes first and 5 last.
    """

    id: UUID
    organization_id: UUID
    workflow_id: str
    prompt: str | None
    source: Source
    first_run_id: str | None = None
    runtime: str | None = None
    session_id: UUID | None = None
    interactive: bool = False
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    idempotency_key: str | None = None
    request_hash: bytes | None = None
    budget: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output_schema: dict[str, Any] | None = None
    parent_id: UUID | None = None
    depth: int = 0
    priority: int = USUAL_PRIORITY
    session_concurrency: str | None = None

    @property
    def message_id(self) -> UUID | None:
        """The first message's id: the execution's own, so that repeating is harmless."""
        return self.id if self.prompt else None


async def require_agent(connection: AsyncConnection, organization_id: UUID, id_or_name: str) -> Definition:
    """The agent's present version, with its template; agents are called by id or by name.

    Raises:
        AgentUnknown: there is none; the hint says which name was perhaps meant.
    """
    parameters = {"name": id_or_name, "id": _by_id(id_or_name), "organization_id": organization_id}
    row = (await _AGENT.execute(connection, parameters)).first()
    if row is not None:
        return _definition(row)
    names = [row.name for row in await _NAMES.execute(connection, {"organization_id": organization_id})]
    hint = f"{meant(id_or_name, names)} {AgentUnknown.default_hint}".strip()
    raise AgentUnknown(f"There is no agent '{id_or_name[:TITLE]}'.", hint=hint, field="/agent_id")


async def pinned_agent(connection: AsyncConnection, execution: Row[Any]) -> Definition:
    """The version that an execution pinned, with its template as that is now."""
    parameters = {"agent_id": execution.agent_id, "version": execution.agent_version}
    return _definition((await _PINNED.execute(connection, parameters)).first())


def _definition(row: Any) -> Definition:
    spec = AgentSpec.model_validate(row.spec)
    own: Template | None = None if row.template is None else template_of(row.template)
    return Definition(spec, BUILT_IN.get(spec.template or "", own))


async def limits_of(connection: AsyncConnection, execution: Row[Any]) -> Limits:
    """The limits that the execution's agent has itself."""
    found = await _BUDGET.execute(connection, {"id": execution.agent_id, "version": execution.agent_version})
    return Limits.model_validate(found.scalar_one_or_none() or {})


def _by_id(text_: str) -> UUID | None:
    try:
        return UUID(text_)
    except ValueError:
        return None


async def session_exists(connection: AsyncConnection, organization_id: UUID, session_id: UUID) -> bool:
    """Whether the organization has such a session."""
    query = select(Session.id).where(Session.organization_id == organization_id, Session.id == session_id)
    return (await connection.execute(query)).first() is not None


async def claim_session(connection: AsyncConnection, new: NewExecution, agent: AgentSpec) -> bool:
    """Whether the session is the organization's, after making it where nobody has it."""
    values = {
        "id": new.session_id,
        "organization_id": new.organization_id,
        "agent_id": UUID(agent.id),
        "title": (new.prompt or "")[:TITLE],
    }
    await connection.execute(pg_insert(Session).values(values).on_conflict_do_nothing())
    return new.session_id is not None and await session_exists(connection, new.organization_id, new.session_id)


async def insert(
    connection: AsyncConnection, new: NewExecution, agent: AgentSpec, resolution: Resolution
) -> Row[Any] | None:
    """Insert the execution with its session, its first message and its first events; None if it is there.

    One without a message has nothing to queue for: it waits from the beginning.

    Raises:
        SessionBusy: its session has another execution, and it is not to wait for that one.
    """
    ahead = await session_queue.ahead_of_new(connection, new, agent)
    session_id = new.session_id or uuid7()
    decided = resolution.model_dump(mode="json", exclude_none=True)
    status, next_event = session_queue.queued(ahead) or first_status(resolution, has_message=new.message_id is not None)
    events = [_accepted(new, agent, resolution.runtime, session_id, decided), *next_event]
    parameters = {
        "id": new.id,
        "organization_id": new.organization_id,
        "agent_id": UUID(agent.id),
        "agent_name": agent.name,
        "agent_version": agent.version,
        "session_id": session_id,
        "workflow_id": new.workflow_id,
        "first_run_id": new.first_run_id,
        "runtime": resolution.runtime,
        "task_queue": "" if ahead else resolution.task_queue or "",
        "resolution": orjson.dumps(decided).decode(),
        "interactive": new.interactive,
        "status": status,
        "source": new.source,
        "metadata": orjson.dumps(new.metadata).decode(),
        "idempotency_key": new.idempotency_key,
        "request_hash": new.request_hash,
        "budget": orjson.dumps(new.budget).decode(),
        "output_schema": None if new.output_schema is None else orjson.dumps(new.output_schema).decode(),
        "parent_id": new.parent_id,
        "depth": new.depth,
        "priority": new.priority,
        "title": (new.prompt or "")[:TITLE],
        "message_id": new.message_id,
        "prompt": new.prompt or "",
        **log.counted(events),
    }
    return (await _INSERT.execute(connection, parameters)).first()


def _accepted(
    new: NewExecution, agent: AgentSpec, runtime: str | None, session_id: UUID, decided: dict[str, Any]
) -> NewEvent:
    data = {
        "agent_id": agent.id,
        "agent_name": agent.name,
        "agent_version": agent.version,
        "runtime": runtime,
        "session_id": str(session_id),
        "source": new.source,
        "resolution": decided,
    }
    return NewEvent(type="execution.accepted", data=data)


def first_status(resolution: Resolution, *, has_message: bool) -> tuple[ExecutionStatus, list[NewEvent]]:
    """What an execution is before its first turn, and the events that say so."""
    if resolution.pool is None:
        awaited = {"runtime": resolution.runtime, "deploy": resolution.deploy}
        return ExecutionStatus.WAITING_FOR_POOL, [NewEvent(type="execution.waiting_for_pool", data=awaited)]
    if has_message:
        return ExecutionStatus.QUEUED, []
    return ExecutionStatus.WAITING, [NewEvent(type="execution.waiting")]


async def insert_failed(connection: AsyncConnection, new: NewExecution, agent_id: str, refusal: HoldfastError) -> bool:
    """Keep an execution that could not begin, so that it is seen like any other; False if the id is taken."""
    error = ExecutionError(code=refusal.code, message=refusal.detail, hint=refusal.hint)
    parameters = {
        "id": new.id,
        "organization_id": new.organization_id,
        "workflow_id": new.workflow_id,
        "first_run_id": new.first_run_id,
        "agent_name": agent_id[:TITLE],
        "runtime": new.runtime or "",
        "source": new.source,
        "error": error.model_dump_json(),
    }
    return (await _INSERT_FAILED.execute(connection, parameters)).first() is not None


async def require_runtime(connection: AsyncConnection, organization_id: UUID, manifests: Manifests, name: str) -> None:
    """Accept a runtime that has a manifest, or that a live worker announces.

    Raises:
        RuntimeUnknown: it has neither.
    """
    if name not in manifests:
        check_runtime(name, manifests, await workers_of(connection, organization_id))
