"""What clients do to an execution: start it, stop it, talk to it. The row first, then Temporal, then the worker."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Row

from control_plane import errors
from control_plane.api.credentials import Principal
from control_plane.api.executions import admission
from control_plane.api.executions.schemas import ExecutionCreate
from control_plane.api.executions.service import Executions, StoredMessage, admission_of, require_open
from control_plane.api.executions.session_queue import call_next
from control_plane.api.runtimes.liveness import not_live
from control_plane.api.schemas import Notice
from control_plane.api.state import ApiState
from control_plane.api.turn_settings import budget_warnings
from control_plane.gateway import WorkflowMissing
from db.enums import ExecutionStatus
from runtimes.turns import StopReason
from services.control_plane_client.models import ControlCommand

log = structlog.get_logger(__name__)

NOT_STARTED = Notice(
    code="temporal_unavailable",
    message="Temporal does not answer; the execution is kept and starts as soon as it does.",
)


@dataclass(frozen=True, slots=True)
class ExecutionControl:
    """Acts on one organization's executions."""

    principal: Principal
    state: ApiState

    async def create(self, body: ExecutionCreate, key: str | None) -> tuple[Row[Any], bool, list[Notice]]:
        """Accept an execution and start its workflow: its row, whether it is new, and warnings.

        An accepted execution is never lost: if Temporal is away, the reconciler starts it later.
        """
        organization_id = self.principal.organization_id
        async with self.state.database.transaction(organization_id) as connection:
            if body.runtime is not None:
                await admission.require_runtime(connection, organization_id, self.state.manifests, body.runtime)
            row, is_new = await Executions(connection, organization_id).create(body, key, self.state.placement)
            if not is_new:
                return row, False, []
            waits_for_pool = row.status == ExecutionStatus.WAITING_FOR_POOL
            warnings = [not_live(row.runtime, "the execution waits")] if waits_for_pool else []
            if body.budget is not None:
                warnings += budget_warnings(body.budget, await admission.limits_of(connection, row))
        warnings += await self._start(row, has_message=body.prompt is not None)
        if row.status == ExecutionStatus.WAITING_FOR_SESSION:
            await call_next(self.state.database, self.state.gateway, organization_id, row.id)
        return row, True, warnings

    async def cancel(self, execution_id: UUID) -> Row[Any]:
        """Request cancellation, in Temporal and straight at the worker."""
        row = await self._open(execution_id)
        with _unless_not_started(row):
            await self.state.gateway.cancel(row.workflow_id, row.first_run_id)
        self._command(row, StopReason.CANCEL)
        return row

    async def interrupt(self, execution_id: UUID) -> Row[Any]:
        """End the running turn and keep the execution; whether a waiting one has such a turn, its workflow knows."""
        row = await self._open(execution_id)
        if row.status not in (ExecutionStatus.RUNNING, ExecutionStatus.WAITING):
            raise errors.TurnNotRunning(f"No turn is running: the execution is {row.status}.")
        await self.state.gateway.interrupt(row.workflow_id, row.first_run_id, row.attempt_turn)
        self._command(row, StopReason.INTERRUPT)
        return row

    async def close(self, execution_id: UUID) -> Row[Any]:
        """Let the execution complete once its messages are answered."""
        row = await self._open(execution_id)
        with _unless_not_started(row):
            await self.state.gateway.close(row.workflow_id, row.first_run_id)
        return row

    async def send_message(self, execution_id: UUID, content: str, key: str | None) -> UUID:
        """Keep a message and queue it for the next turn.

        One that was not queued in time is withdrawn: it does not run, unless it is sent again.
        """
        organization_id = self.principal.organization_id
        async with self.state.database.transaction(organization_id) as connection:
            executions = Executions(connection, organization_id)
            row = await executions.get(execution_id)
            stored = await executions.store_message(row, content, key)
        if stored.is_taken:
            return stored.id
        try:
            with _unless_not_started(row):
                await self.state.gateway.send_message(row.workflow_id, row.first_run_id, str(stored.id))
        except errors.HoldfastError:
            if await self._withdraw(stored):
                raise
            return stored.id
        async with self.state.database.transaction(organization_id) as connection:
            await Executions(connection, organization_id).confirm_message(stored)
        return stored.id

    async def _withdraw(self, stored: StoredMessage) -> bool:
        """Whether nobody is known to have the message; a turn, or another request, may have taken it meanwhile."""
        organization_id = self.principal.organization_id
        async with self.state.database.transaction(organization_id) as connection:
            executions = Executions(connection, organization_id)
            await executions.withdraw_message(stored)
            return not await executions.is_accepted(stored.id)

    async def _open(self, execution_id: UUID) -> Row[Any]:
        organization_id = self.principal.organization_id
        async with self.state.database.transaction(organization_id) as connection:
            row = await Executions(connection, organization_id).get(execution_id)
        require_open(row)
        return row

    async def _start(self, row: Row[Any], *, has_message: bool) -> list[Notice]:
        try:
            await self.state.gateway.start(
                row.workflow_id,
                admission_of(row, self.state.settings, self.state.frameworks.config, has_message=has_message),
                interactive=row.interactive,
                metadata=row.metadata,
            )
        except errors.TemporalUnavailable as error:
            log.warning("execution not started yet", execution_id=str(row.id), error=error.detail)
            return [NOT_STARTED]
        except errors.TemporalRejected as error:
            log.warning("execution not started yet", execution_id=str(row.id), error=error.detail)
            message = f"{error.detail} The execution is kept and tried again."
            return [Notice(code=error.code, message=message, hint=error.hint)]
        return []

    def _command(self, row: Row[Any], reason: StopReason) -> None:
        if row.worker_id is not None and row.status == ExecutionStatus.RUNNING:
            command = ControlCommand(execution_id=str(row.id), attempt=row.attempt, reason=reason)
            self.state.hub.command(row.worker_id, command)


@contextmanager
def _unless_not_started(row: Row[Any]) -> Generator[None]:
    """Ask for another try where Temporal knows no workflow because it was away at the start, and has it soon."""
    try:
        yield
    except WorkflowMissing:
        if row.first_run_id is None and row.attempt_turn == 0:
            raise errors.TemporalUnavailable(
                "Temporal was away when the execution began; it is started soon."
            ) from None
        raise
