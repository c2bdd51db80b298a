"""One row in every table, for any organization."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Table, insert

from db.models.agents import Agent, AgentVersion, Template
from db.models.base import Base
from db.models.events import Delta, Event
from db.models.executions import Attempt, Execution, Reservation, Turn
from db.models.journal import Approval, Blob, CachedResponse, Step, TurnEntry
from db.models.organizations import ApiKey, Installation, Organization
from db.models.secrets import Secret
from db.models.sessions import Message, Session
from db.models.workers import Worker

#: Every table of the application; naming the models also loads them.
MODELS = (
    Installation,
    Organization,
    ApiKey,
    Agent,
    AgentVersion,
    Template,
    Secret,
    Session,
    Execution,
    Message,
    Turn,
    Attempt,
    Reservation,
    Event,
    Delta,
    Step,
    Blob,
    TurnEntry,
    CachedResponse,
    Approval,
    Worker,
)
TABLES: dict[str, Table] = dict(Base.metadata.tables)
OWNED = sorted(name for name in TABLES if name not in {"installation", "organizations", "workers"})


def organization_row(name: str) -> dict[str, Any]:
    """A row of `organizations`."""
    return {"id": uuid4(), "name": name}


def owned_rows(organization_id: UUID) -> dict[str, dict[str, Any]]:
    """A row for each table that belongs to organizations, by table; they refer to each other."""
    agent_id, session_id, execution_id = uuid4(), uuid4(), uuid4()
    execution = {"execution_id": execution_id}
    mine = {"organization_id": organization_id}
    return {
        "api_keys": mine
        | {"id": uuid4(), "name": "key", "prefix": "hf_x", "hash": organization_id.bytes, "scopes": ["read"]},
        "agents": mine | {"id": agent_id, "name": "agent", "model_id": "scripted/model"},
        "agent_versions": mine | {"agent_id": agent_id, "version": 1, "spec": {"name": "agent"}},
        "templates": mine | {"name": "template", "type": "task"},
        "secrets": mine | {"name": "secret", "key_id": "00", "wrapped_key": b"x", "value": b"x"},
        "sessions": mine | {"id": session_id, "agent_id": agent_id},
        "executions": mine | _execution(execution_id, agent_id, session_id),
        "messages": mine
        | {"id": uuid4(), "session_id": session_id, "role": "user", "content": "Hello", "execution_id": execution_id},
        "turns": mine | execution | {"turn": 1},
        "attempts": mine | execution | {"attempt": 1, "turn": 1, "dispatch": 1, "try_number": 1, "worker_id": "worker"},
        "reservations": mine | execution | {"id": uuid4(), "attempt": 1},
        "events": mine | execution | {"seq": 1, "type": "execution.accepted", "data": {}},
        "steps": mine | execution | {"turn": 1, "ordinal": 1, "attempt": 1, "kind": "tool_call", "status": "done"},
        "blobs": mine | execution | {"hash": "00", "data": b"x", "size": 1},
        "turn_entries": mine | execution | {"turn": 1, "name": "transcript", "position": 1, "entry": {}},
        "cached_responses": mine
        | {"agent_id": agent_id, "agent_version": 1, "hash": "00", "response": {}, "expires_at": datetime.now(UTC)},
        "approvals": mine | execution | _approval(),
        "deltas": mine | execution | {"attempt": 1, "message": 0, "offset": 0, "text": "Hel"},
    }


def _approval() -> dict[str, Any]:
    asked = {"turn": 1, "kind": "tool_call", "key": "call_1", "digest": "00", "name": "pay"}
    return {"id": uuid4(), "expires_at": datetime.now(UTC)} | asked


def _execution(execution_id: UUID, agent_id: UUID, session_id: UUID) -> dict[str, Any]:
    return {
        "id": execution_id,
        "agent_id": agent_id,
        "agent_name": "agent",
        "agent_version": 1,
        "session_id": session_id,
        "workflow_id": f"agent-execution/{execution_id}",
        "runtime": "default",
        "task_queue": "holdfast.default",
    }


def fill(connection: Connection, name: str) -> UUID:
    """Make an organization with a row in every table; its id."""
    organization = organization_row(name)
    connection.execute(insert(TABLES["organizations"]).values(organization))
    for table, row in owned_rows(organization["id"]).items():
        connection.execute(insert(TABLES[table]).values(row))
    return organization["id"]
