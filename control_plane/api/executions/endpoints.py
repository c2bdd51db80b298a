"""Routes of executions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response

from control_plane.api.auth import Reader, Writer
from control_plane.api.examples import STREAM
from control_plane.api.executions import service, streaming
from control_plane.api.executions.control import ExecutionControl
from control_plane.api.executions.schemas import (
    Execution,
    ExecutionCreate,
    ExecutionList,
    ExecutionPage,
    ExecutionPending,
    MessageCreate,
    MessageQueued,
)
from control_plane.api.executions.service import Executions
from control_plane.api.openapi import CHANGING, KEYED, LISTING, WITH_BODY, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.request_tracing import tell_execution
from control_plane.api.state import State
from control_plane.errors import (
    AgentUnknown,
    Conflict,
    ExecutionClosed,
    ExecutionNotInteractive,
    IdempotencyKeyInvalid,
    IdempotencyMismatch,
    MetadataLimits,
    NotFound,
    PoolMissing,
    QueueFull,
    RuntimeUnfit,
    RuntimeUnknown,
    SchemaInvalid,
    SeqBeyondEnd,
    SeqInvalid,
    SessionBusy,
    TemporalRejected,
    TemporalUnavailable,
    TurnNotRunning,
    TypeMismatch,
    ValueInvalid,
)
from control_plane.events.position import Position
from workflows.types import AgentExecutionResult

router = APIRouter(prefix="/api/v1/executions", tags=["executions"])

#: Seconds that a request for a result may wait.
MAX_WAIT = 60

#: Shape of one event of the stream; its `data` is a JSON object.
SERVER_SENT = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}

STOPPING = problems(CHANGING, NotFound, ExecutionClosed, Conflict, TemporalRejected, TemporalUnavailable)


async def idempotency_key(
    key: Annotated[str | None, Header(alias="Idempotency-Key", description="Makes repeating harmless.")] = None,
) -> str | None:
    """The key that makes a repeated request harmless.

    Raises:
        IdempotencyKeyInvalid: it is empty, too long, or not printable ASCII.
    """
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise IdempotencyKeyInvalid("It has 1 to 255 printable ASCII characters.", field="Idempotency-Key")
    return key


IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]


@router.post(
    "",
    operation_id="create_execution",
    status_code=201,
    response_model=Execution,
    responses={200: {"model": Execution, "description": "The execution that the same key made before."}}
    | problems(
        WITH_BODY,
        AgentUnknown,
        NotFound,
        PoolMissing,
        RuntimeUnfit,
        RuntimeUnknown,
        IdempotencyKeyInvalid,
        IdempotencyMismatch,
        MetadataLimits,
        SchemaInvalid,
        SessionBusy,
    ),
)
async def create_execution(
    body: ExecutionCreate, principal: Writer, state: State, key: IdempotencyKey, response: Response
) -> Execution:
    """Start an execution. What is answered with 201 is never lost, whatever is killed next."""
    row, is_new, warnings = await ExecutionControl(principal, state).create(body, key)
    tell_execution(str(row.id))
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/api/v1/executions/{row.id}"
    return service.body_of(row, warnings)


@router.get("", operation_id="list_executions", responses=problems(LISTING))
async def list_executions(query: Annotated[ExecutionList, Query()], principal: Reader, state: State) -> ExecutionPage:
    """Executions, newest first."""
    cursors = Cursors("executions", principal.organization_id)
    after = cursors.decode(query.cursor, datetime.fromisoformat, UUID) if query.cursor else None
    async with state.database.transaction(principal.organization_id) as connection:
        executions = Executions(connection, principal.organization_id)
        rows = await executions.page(query, after)
        shown, cursor = page(rows, query.limit, lambda row: cursors.encode(row.created_at.isoformat(), row.id))
        return ExecutionPage(items=await executions.bodies(shown), next_cursor=cursor)


@router.get("/{execution_id}", operation_id="get_execution", responses=problems(KEYED, NotFound))
async def get_execution(execution_id: UUID, principal: Reader, state: State) -> Execution:
    """One execution."""
    async with state.database.transaction(principal.organization_id) as connection:
        executions = Executions(connection, principal.organization_id)
        (body,) = await executions.bodies([await executions.get(execution_id)])
    return body


@router.post("/{execution_id}/cancel", operation_id="cancel_execution", status_code=202, responses=STOPPING)
async def cancel_execution(execution_id: UUID, principal: Writer, state: State) -> Execution:
    """Stop the execution for good: its runtime stops within a second."""
    return service.body_of(await ExecutionControl(principal, state).cancel(execution_id))


@router.post(
    "/{execution_id}/interrupt",
    operation_id="interrupt_execution",
    status_code=202,
    responses=problems(
        CHANGING, NotFound, ExecutionClosed, TurnNotRunning, Conflict, TemporalRejected, TemporalUnavailable
    ),
)
async def interrupt_execution(execution_id: UUID, principal: Writer, state: State) -> Execution:
    """End the running turn; an interactive execution goes on with its next message."""
    return service.body_of(await ExecutionControl(principal, state).interrupt(execution_id))


@router.post("/{execution_id}/close", operation_id="close_execution", status_code=202, responses=STOPPING)
async def close_execution(execution_id: UUID, principal: Writer, state: State) -> Execution:
    """Complete an interactive execution once its queued messages are answered."""
    return service.body_of(await ExecutionControl(principal, state).close(execution_id))


@router.post(
    "/{execution_id}/messages",
    operation_id="send_message",
    status_code=202,
    responses=problems(
        WITH_BODY,
        NotFound,
        Conflict,
        ExecutionClosed,
        ExecutionNotInteractive,
        QueueFull,
        IdempotencyKeyInvalid,
        IdempotencyMismatch,
        TemporalRejected,
        TemporalUnavailable,
    ),
)
async def send_message(
    execution_id: UUID, body: MessageCreate, principal: Writer, state: State, key: IdempotencyKey
) -> MessageQueued:
    """Send an interactive execution its next message; it is queued while a turn runs."""
    message_id = await ExecutionControl(principal, state).send_message(execution_id, body.content, key)
    return MessageQueued(message_id=message_id, execution_id=execution_id)


@router.get(
    "/{execution_id}/result",
    operation_id="get_result",
    response_model=AgentExecutionResult,
    responses={202: {"model": ExecutionPending, "description": "There is no result yet."}}
    | problems(KEYED, NotFound, TypeMismatch, ValueInvalid),
)
async def get_result(
    execution_id: UUID,
    principal: Reader,
    state: State,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait for it.")] = 0,
) -> AgentExecutionResult | Response:
    """What the execution came to; 202 while it has not ended."""
    found = await streaming.awaited_result(state, principal, execution_id, wait)
    if isinstance(found, AgentExecutionResult):
        return found
    pending = ExecutionPending(execution_id=execution_id, status=found)
    return Response(pending.model_dump_json(), 202, {"Retry-After": "1"}, "application/json")


@router.get(
    "/{execution_id}/events",
    operation_id="stream_events",
    response_class=Response,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": SERVER_SENT, "examples": {"log": {"value": STREAM}}}},
            "description": "The log as server-sent events.",
        },
        204: {"description": "The execution has ended and all of its log was read."},
    }
    | problems(KEYED, NotFound, SeqInvalid, SeqBeyondEnd, TypeMismatch),
)
async def stream_events(
    execution_id: UUID,
    principal: Reader,
    state: State,
    after: Annotated[str | None, Query(description="Position to go on from; like `Last-Event-ID`.")] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    follow: Annotated[bool, Query(description="Wait for what is still to come.")] = True,
) -> Response:
    """The event log, from any position, from any replica, also after the end."""
    start = Position.parse(last_event_id, "Last-Event-ID") if last_event_id else Position.parse(after, "after")
    return await streaming.event_stream(state, principal, execution_id, start, follow=follow)
