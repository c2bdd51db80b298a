"""Admission of executions that a Temporal client started."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.credentials import Principal
from control_plane.api.executions.admission import (
    NewExecution,
    claim_session,
    find_agent,
    insert,
    insert_failed,
    require_runtime,
)
from control_plane.api.state import ApiState
from control_plane.errors import AgentUnknown, FieldMissing, HoldfastError, NotFound, TextNul, ValueInvalid
from db.enums import Source
from db.models.executions import Execution
from runtimes.turns import Admission, AdmitExecution
from services.control_plane_client.models import AgentSpec


async def admit(
    connection: AsyncConnection, organization_id: UUID, request: AdmitExecution, principal: Principal, state: ApiState
) -> Admission | HoldfastError:
    """Give the execution its row, idempotently; a refusal is kept as a failed execution.

    Raises:
        TextNul, ValueInvalid: the workflow's input cannot be stored.
        NotFound: another organization has an execution of that id.
    """
    if "\\u0000" in request.model_dump_json():
        raise TextNul("The workflow's input has a NUL character.")
    new = _new_execution(organization_id, request)
    try:
        agent = await _checked(connection, new, request, principal, state)
    except HoldfastError as refusal:
        await insert_failed(connection, new, request.agent_id, refusal)
        return refusal
    await insert(connection, new, agent)
    return await _admission(connection, new, agent, state)


async def _checked(
    connection: AsyncConnection, new: NewExecution, request: AdmitExecution, principal: Principal, state: ApiState
) -> AgentSpec:
    if not request.prompt and not request.interactive:
        raise FieldMissing("'prompt' is missing.", hint="Give a prompt, or start it as interactive.", field="/prompt")
    agent = await find_agent(connection, new.organization_id, request.agent_id)
    if agent is None:
        raise AgentUnknown(f"There is no agent '{request.agent_id[:80]}'.")
    await require_runtime(connection, principal, state.manifests, new.runtime or agent.runtime)
    if new.session_id is not None and not await claim_session(connection, new, agent):
        raise NotFound(f"There is no session '{new.session_id}'.", field="/session_id")
    return agent


def _new_execution(organization_id: UUID, request: AdmitExecution) -> NewExecution:
    return NewExecution(
        id=_uuid("execution_id", request.execution_id),
        organization_id=organization_id,
        workflow_id=request.workflow_id,
        prompt=request.prompt,
        source=Source.TEMPORAL,
        runtime=request.runtime,
        session_id=None if request.session_id is None else _uuid("session_id", request.session_id),
        interactive=request.interactive,
        metadata=request.metadata,
    )


def _uuid(field: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise ValueInvalid(f"'{value[:80]}' is no UUID.", field=f"/{field}") from None


async def _admission(connection: AsyncConnection, new: NewExecution, agent: AgentSpec, state: ApiState) -> Admission:
    """Read from the row, so that a repeated admission gives the same answer.

    Raises:
        NotFound: the id is another organization's.
    """
    query = select(Execution.session_id, Execution.runtime, Execution.task_queue).where(Execution.id == new.id)
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFound(f"There is no execution '{new.id}'.")
    return Admission(
        execution_id=str(new.id),
        organization_id=str(new.organization_id),
        session_id=str(row.session_id),
        agent_id=agent.id,
        agent_name=agent.name,
        runtime=row.runtime,
        task_queue=row.task_queue,
        message_id=None if new.message_id is None else str(new.message_id),
        heartbeat_timeout_seconds=state.settings.heartbeat_timeout_seconds,
        turn_timeout_seconds=state.settings.turn_timeout_seconds,
    )
