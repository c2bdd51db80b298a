"""The event log over SSE, and waiting for a result."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import orjson
from fastapi import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from control_plane import errors
from control_plane.api.credentials import Principal
from control_plane.api.executions.service import Executions
from control_plane.api.problems import until_outage
from control_plane.api.state import ApiState
from control_plane.events.position import Position
from control_plane.events.reader import POLL_SECONDS, LogReader
from db.enums import TERMINAL, ExecutionStatus
from workflows.types import AgentExecutionResult

#: Seconds between comments that keep an idle stream open.
PING_SECONDS = 10


async def event_stream(
    state: ApiState, principal: Principal, execution_id: UUID, start: Position, *, follow: bool
) -> Response:
    """The log from a position on; nothing is left to say: 204, which stops an `EventSource`.

    Raises:
        errors.NotFound: there is no such execution.
        errors.SeqBeyondEnd: the position is not reached yet.
    """
    async with state.database.transaction(principal.organization_id) as connection:
        row = await Executions(connection, principal.organization_id).get(execution_id)
    if start.seq > row.last_seq:
        raise errors.SeqBeyondEnd(f"The log ends at {row.last_seq}.", last_seq=row.last_seq)
    if start.seq == row.last_seq and row.status in TERMINAL:
        return Response(status_code=204)
    reader = LogReader(state.database, state.hub, principal.organization_id, execution_id)
    return EventSourceResponse(until_outage(_server_sent(reader, start, follow=follow)), ping=PING_SECONDS, sep="\n")


async def _server_sent(reader: LogReader, start: Position, *, follow: bool) -> AsyncGenerator[ServerSentEvent]:
    async for event in reader.read(start, follow=follow):
        yield ServerSentEvent(id=event.id, event=event.type, data=orjson.dumps(event.body).decode(), sep="\n")


async def awaited_result(
    state: ApiState, principal: Principal, execution_id: UUID, wait: float
) -> AgentExecutionResult | ExecutionStatus:
    """The result, waited for up to `wait` seconds; the status if there is none by then."""
    deadline = asyncio.get_running_loop().time() + wait
    with state.hub.subscribed(str(execution_id), to_end=True) as subscription:
        while True:
            async with state.database.transaction(principal.organization_id) as connection:
                found = await Executions(connection, principal.organization_id).result(execution_id)
            left = deadline - asyncio.get_running_loop().time()
            if isinstance(found, AgentExecutionResult) or left <= 0:
                return found
            await subscription.heard(min(left, POLL_SECONDS))
