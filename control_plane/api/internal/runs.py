"""Attempts of a workflow that has had several runs: only those of the present one may write."""

from uuid import UUID

from control_plane import errors
from control_plane.api.executions.service import Executions
from control_plane.api.internal.service import turn_ledger
from control_plane.api.state import ApiState
from services.control_plane_client.models import AttemptOpened, OpenAttempt


async def open_in_run(
    state: ApiState, organization_id: UUID, execution_id: UUID, request: OpenAttempt
) -> AttemptOpened:
    """Open an attempt; Temporal is asked only where the workflow runs anew, after a reset or as a new run.

    Raises:
        errors.HoldfastError: as `TurnLedger.open`, and as `TemporalGateway`.
    """
    try:
        return await _open(state, organization_id, execution_id, request)
    except errors.RunUnknown:
        present_run = await _present_run(state, organization_id, execution_id)
        return await _open(state, organization_id, execution_id, request, present_run)


async def _open(
    state: ApiState, organization_id: UUID, execution_id: UUID, request: OpenAttempt, present_run: str = ""
) -> AttemptOpened:
    async with turn_ledger(state.database, state.metrics, organization_id, execution_id) as ledger:
        return await ledger.open(request, present_run)


async def _present_run(state: ApiState, organization_id: UUID, execution_id: UUID) -> str:
    async with state.database.transaction(organization_id) as connection:
        row = await Executions(connection, organization_id).get(execution_id)
    return await state.gateway.present_run(row.workflow_id, row.first_run_id)
