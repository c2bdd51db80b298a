"""Admission of executions that a Temporal client started."""

import json
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.credentials import Principal
from control_plane.api.executions.admission import (
    NewExecution,
    claim_session,
    insert,
    insert_failed,
    require_agent,
    require_runtime,
)
from control_plane.api.executions.service import admission_of, budget_of
from control_plane.api.internal.schemas import WorkflowInput
from control_plane.api.json_text import check_json_object, refusal_of
from control_plane.api.problems import invalid_input
from control_plane.api.state import ApiState
from control_plane.errors import Conflict, HoldfastError, NotFound, TypeMismatch
from db.enums import Source
from db.session import Database
from db.sql import Sql
from runtimes.json_text import JsonFault
from runtimes.turns import LAST_PRIORITY, UNREADABLE, Admission, AdmitExecution
from services.storable import storable

EXAMPLE = """The input is like {"agent_id": "demo", "prompt": "hello"}."""
IN_USE = "Leave execution_id out, or give one that was never used."

_ORGANIZATION = Sql("SELECT 1 FROM organizations WHERE id = :id")
_OF_THIS_WORKFLOW = Sql("""
    SELECT * FROM executions WHERE id = :id AND workflow_id = :workflow_id AND first_run_id = :first_run_id
""")


async def admit(state: ApiState, principal: Principal, request: AdmitExecution) -> Admission:
    """Give the execution its row, idempotently; what is refused becomes a failed execution.

    Raises:
        HoldfastError: it is refused, in the words of the REST API.
    """
    try:
        return await _admitted(state, principal, request)
    except HoldfastError as refusal:
        await _keep(state, principal, request, refusal)
        raise


async def _admitted(state: ApiState, principal: Principal, request: AdmitExecution) -> Admission:
    wanted = _parsed(request.input, request.fault)
    organization_id = await _organization(state.database, principal, wanted)
    new = _new_execution(organization_id, wanted, request)
    async with state.database.transaction(organization_id) as connection:
        agent = await require_agent(connection, organization_id, wanted.agent_id)
        if new.runtime is not None:
            await require_runtime(connection, organization_id, state.manifests, new.runtime)
        if new.session_id is not None and not await claim_session(connection, new, agent.spec):
            raise NotFound(f"There is no session '{new.session_id}'.", field="/session_id")
        needs, wait = agent.wanted(new.runtime, new.output_schema), wanted.if_no_pool == "wait"
        resolution = await state.placement.require(connection, organization_id, needs, wait=wait)
        row = await insert(connection, new, agent.spec, resolution) or await _of_this_workflow(connection, new)
        if row is None:
            raise Conflict(f"Another workflow has the execution '{new.id}'.", hint=IN_USE, field="/execution_id")
    return admission_of(row, state.settings, state.frameworks.config, has_message=new.message_id is not None)


def _parsed(given: Any, fault: JsonFault | None) -> WorkflowInput:
    """What is wanted, checked like the body of a request.

    Raises:
        HoldfastError: it cannot be wanted.
    """
    try:
        _check_readable(given, fault)
        check_json_object(json.dumps(given).encode())
        return WorkflowInput.model_validate(given)
    except ValidationError as invalid:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in invalid.errors()]
        refusal = invalid_input(RequestValidationError(errors, body=given))
    except HoldfastError as wrong:
        refusal = wrong
    refusal.hint = refusal.hint or EXAMPLE
    raise refusal


def _check_readable(given: Any, fault: JsonFault | None) -> None:
    if fault is not None:
        raise refusal_of(fault)
    if isinstance(given, str) and given.startswith(UNREADABLE):
        raise TypeMismatch(given)


def _new_execution(organization_id: UUID, wanted: WorkflowInput, request: AdmitExecution) -> NewExecution:
    return NewExecution(
        id=wanted.execution_id or request.execution_id,
        organization_id=organization_id,
        workflow_id=request.workflow_id,
        first_run_id=request.first_run_id,
        prompt=wanted.prompt,
        source=Source.TEMPORAL,
        runtime=wanted.runtime,
        session_id=wanted.session_id,
        interactive=wanted.interactive,
        metadata=wanted.metadata,
        budget=budget_of(wanted),
        output_schema=wanted.output_schema,
        priority=_priority(wanted, request),
        session_concurrency=wanted.session_concurrency,
    )


def _priority(wanted: WorkflowInput, request: AdmitExecution) -> int:
    """What the input says, else what the workflow was started with."""
    if "priority" in wanted.model_fields_set or not request.priority:
        return wanted.priority
    return min(request.priority, LAST_PRIORITY)


async def _organization(database: Database, principal: Principal, wanted: WorkflowInput) -> UUID:
    asked = wanted.organization_id
    if asked is None:
        return principal.organization_id
    if not await _exists(database, asked):
        raise NotFound(f"There is no organization '{asked}'.", field="/organization_id")
    return asked


async def _of_this_workflow(connection: AsyncConnection, new: NewExecution) -> Row[Any] | None:
    parameters = {"id": new.id, "workflow_id": new.workflow_id, "first_run_id": new.first_run_id}
    return (await _OF_THIS_WORKFLOW.execute(connection, parameters)).first()


async def _exists(database: Database, organization_id: UUID) -> bool:
    async with database.transaction(organization_id) as connection:
        return (await _ORGANIZATION.execute(connection, {"id": organization_id})).first() is not None


async def _keep(state: ApiState, principal: Principal, request: AdmitExecution, refusal: HoldfastError) -> None:
    """Keep a refused start, under its workflow's own id and with the operator where it names nothing better."""
    given = _fields(request.input)
    organization_id = _uuid(given.get("organization_id"))
    if organization_id is None or not await _exists(state.database, organization_id):
        organization_id = principal.organization_id
    refused = NewExecution(
        id=_uuid(given.get("execution_id")) or request.execution_id,
        organization_id=organization_id,
        workflow_id=request.workflow_id,
        first_run_id=request.first_run_id,
        prompt=None,
        source=Source.TEMPORAL,
        runtime=_storable(given.get("runtime")),
    )
    agent = _storable(given.get("agent_id"))
    async with state.database.transaction(organization_id) as connection:
        if not (
            await insert_failed(connection, refused, agent, refusal) or await _of_this_workflow(connection, refused)
        ):
            refused = replace(refused, id=request.execution_id)
            await insert_failed(connection, refused, agent, refusal)
    state.hub.announce(str(refused.id), ended=True)


def _fields(given: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def _uuid(given: Any) -> UUID | None:
    try:
        return UUID(given)
    except (ValueError, AttributeError, TypeError):
        return None


def _storable(given: Any) -> str:
    return storable(given) if isinstance(given, str) else ""
