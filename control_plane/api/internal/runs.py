"""Attempts of a workflow that was reset, or whose activity was: only those of the present run and try may write."""

from uuid import UUID

from control_plane import errors
from control_plane.api.executions.service import Executions
from control_plane.api.internal.service import turn_ledger
from control_plane.api.state import ApiState
from control_plane.gateway import Present
from services.control_plane_client.models import AttemptOpened, OpenAttempt


async def open_in_run(
    state: ApiState, organization_id: UUID, execution_id: UUID, request: OpenAttempt
) -> AttemptOpened:
    """Open an attempt; Temporal is asked only where a run or a try is not later than the last one, as after a reset.

    Raises:
        errors.HoldfastError: as `TurnLedger.open`, and as `TemporalGateway`.
    """
    try:
        return await _open(state, organization_id, execution_id, request)
    except errors.PresentUnknown:
        present = await _present(state, organization_id, execution_id)
        return await _open(state, organization_id, execution_id, request, present)


async def _open(
    state: ApiState, organization_id: UUID, execution_id: UUID, request: OpenAttempt, present: Present | None = None
) -> AttemptOpened:
    async with turn_ledger(state.database, state.metrics, organization_id, execution_id) as ledger:
        return await ledger.open(request, present)


async def _present(state: ApiState, organization_id: UUID, execution_id: UUID) -> Present:
    async with state.database.transaction(organization_id) as connection:
        row = await Executions(connection, organization_id).get(execution_id)
    return await state.gateway.present(row.workflow_id, row.first_run_id)
