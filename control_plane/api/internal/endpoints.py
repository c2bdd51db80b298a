"""The worker API, `/internal/v1`: for keys with the scope `worker`."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

from fastapi import APIRouter, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from control_plane.api.auth import WorkerKey
from control_plane.api.credentials import Principal
from control_plane.api.executions.session_queue import call_next
from control_plane.api.internal import admission, runs, secrets, workers
from control_plane.api.internal.access import organization_of
from control_plane.api.internal.children import Children, cancel_children
from control_plane.api.internal.family import FamilyBudget
from control_plane.api.internal.places import Places
from control_plane.api.internal.service import turn_ledger
from control_plane.api.problems import until_outage
from control_plane.api.state import ApiState, State
from control_plane.errors import OperatorOnly, TemporalUnavailable
from runtimes.turns import Admission, AdmitExecution, FinishExecution, Place, PlaceExecution
from services.control_plane_client.models import (
    DRAIN,
    AnnounceWorker,
    AppendEvents,
    AskSecrets,
    AttemptEnd,
    AttemptOpened,
    ChildState,
    CloseAttempt,
    OpenAttempt,
    Reserve,
    Reserved,
    SecretsGiven,
    Settle,
    StartChild,
    WorkerAnnounced,
)

router = APIRouter(prefix="/internal/v1", tags=["internal"], include_in_schema=False)

#: Seconds between the signs of life on a control stream.
PING_SECONDS = 10


@router.post("/executions")
async def admit_execution(request: AdmitExecution, principal: WorkerKey, state: State) -> Admission:
    if not principal.operator:
        raise OperatorOnly("Only the operator's workflow workers admit executions: they know whose workflow it is.")
    admitted = await admission.admit(state, principal, request)
    state.hub.announce(admitted.execution_id)
    if not admitted.task_queue:
        organization_id = UUID(admitted.organization_id)
        await call_next(state.database, state.gateway, organization_id, UUID(admitted.execution_id))
    return admitted


@router.post("/executions/{execution_id}/place")
async def place_execution(execution_id: UUID, request: PlaceExecution, principal: WorkerKey, state: State) -> Place:
    organization_id = organization_of(principal, request.organization_id)
    async with state.database.transaction(organization_id) as connection:
        place = await Places(connection, organization_id, state.placement).take(execution_id)
    state.hub.announce(str(execution_id))
    return place


@router.post("/executions/{execution_id}/finish", status_code=204)
async def finish_execution(execution_id: UUID, request: FinishExecution, principal: WorkerKey, state: State) -> None:
    organization_id = organization_of(principal, request.organization_id)
    async with turn_ledger(state.database, state.metrics, organization_id, execution_id) as ledger:
        await ledger.finish(request)
    state.hub.announce(str(execution_id), ended=True)
    await cancel_children(state.database, state.gateway, organization_id, execution_id)
    await call_next(state.database, state.gateway, organization_id, execution_id)


@router.post("/executions/{execution_id}/children")
async def start_child(execution_id: UUID, request: StartChild, principal: WorkerKey, state: State) -> ChildState:
    organization_id = organization_of(principal, request.organization_id)
    return await Children(principal, organization_id, state).start(execution_id, request)


@router.post("/executions/{execution_id}/attempts")
async def open_attempt(execution_id: UUID, request: OpenAttempt, principal: WorkerKey, state: State) -> Response:
    organization_id = organization_of(principal, request.organization_id)
    opened = await runs.open_in_run(state, organization_id, execution_id, request)
    state.hub.announce(str(execution_id))
    return _json(opened)


@router.post("/executions/{execution_id}/attempts/{attempt}/events", status_code=204)
async def append_events(
    execution_id: UUID, attempt: int, request: AppendEvents, principal: WorkerKey, state: State
) -> None:
    organization_id = organization_of(principal, request.organization_id)
    async with turn_ledger(state.database, state.metrics, organization_id, execution_id) as ledger:
        await ledger.append(attempt, request)
    state.hub.announce(str(execution_id))


@router.post("/executions/{execution_id}/attempts/{attempt}/close", status_code=204)
async def close_attempt(
    execution_id: UUID, attempt: int, request: CloseAttempt, principal: WorkerKey, state: State
) -> None:
    organization_id = organization_of(principal, request.organization_id)
    async with turn_ledger(state.database, state.metrics, organization_id, execution_id) as ledger:
        ended = await ledger.close(attempt, request)
    state.hub.announce(str(execution_id), ended=ended)
    if ended:
        await call_next(state.database, state.gateway, organization_id, execution_id)
    if request.end is AttemptEnd.INTERRUPTED or request.ends_turn:
        await cancel_children(state.database, state.gateway, organization_id, execution_id)


@router.post("/executions/{execution_id}/attempts/{attempt}/secrets")
async def give_secrets(
    execution_id: UUID, attempt: int, request: AskSecrets, principal: WorkerKey, state: State
) -> SecretsGiven:
    organization_id = organization_of(principal, request.organization_id)
    async with state.database.transaction(organization_id) as connection:
        given = await secrets.secrets_of(connection, organization_id, execution_id, attempt, state.keyring)
    return given.model_copy(update={"is_own": organization_id == principal.organization_id})


@router.post("/executions/{execution_id}/attempts/{attempt}/reservations")
async def reserve_call(
    execution_id: UUID, attempt: int, request: Reserve, principal: WorkerKey, state: State
) -> Reserved:
    async with state.database.transaction(organization_of(principal, request.organization_id)) as connection:
        return await FamilyBudget(connection, execution_id).reserve(attempt, request)


@router.post("/executions/{execution_id}/reservations", status_code=204)
async def settle_call(execution_id: UUID, request: Settle, principal: WorkerKey, state: State) -> None:
    async with state.database.transaction(organization_of(principal, request.organization_id)) as connection:
        await FamilyBudget(connection, execution_id).settle(request)


@router.post("/workers")
async def announce_worker(request: AnnounceWorker, principal: WorkerKey, state: State) -> WorkerAnnounced:
    with suppress(TemporalUnavailable):
        await state.gateway.hold_namespace()
    async with state.database.transaction(principal.organization_id) as connection:
        answer, is_new = await workers.announce(connection, principal.organization_id, request)
    if is_new:
        state.live.has_come()
    installation_id = await state.installation.read()
    return answer.model_copy(update={"installation_id": str(installation_id)})


@router.get("/workers/{worker_id}/control")
async def control_stream(worker_id: str, principal: WorkerKey, state: State) -> EventSourceResponse:
    async with state.database.transaction(principal.organization_id) as connection:
        await workers.require_worker(connection, principal, worker_id)
    return EventSourceResponse(until_outage(_commands(principal, worker_id, state)), ping=PING_SECONDS)


async def _commands(principal: Principal, worker_id: str, state: ApiState) -> AsyncGenerator[ServerSentEvent]:
    """What the worker is told from now on; before it a drain that it missed."""
    with state.hub.commands(worker_id) as queue:
        async with state.database.transaction(principal.organization_id) as connection:
            if await workers.is_to_drain(connection, worker_id):
                queue.put_nowait(DRAIN)
        while True:
            command = await queue.get()
            yield ServerSentEvent(data=command.model_dump_json())


def _json(opened: AttemptOpened) -> Response:
    return Response(opened.model_dump_json(), media_type="application/json")
