"""Makes the database and Temporal agree: what was accepted is started, what has ended is recorded."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog
from sqlalchemy import Row, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from control_plane import errors
from control_plane.api.executions.service import Executions, admission_of
from control_plane.api.internal.service import TurnLedger
from control_plane.events.hub import EventHub
from control_plane.gateway import TemporalGateway
from control_plane.settings import Settings
from db.enums import ExecutionStatus
from db.models.sessions import Message
from db.session import Database
from runtimes.turns import ExecutionEnd, FinishExecution
from runtimes.types import ExecutionError

log = structlog.get_logger(__name__)

#: Executions looked at in one pass.
BATCH = 100
#: Key of the advisory lock: one replica reconciles at a time.
LOCK = 0x484F4C44

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
_UNSETTLED = text("SELECT * FROM holdfast_unsettled(:idle, :most)")

WORKFLOW_LOST = ExecutionError(
    code="workflow_lost",
    message="Temporal does not know the execution's workflow.",
    hint="Was Temporal's database replaced? Start the execution again.",
)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Looks after executions that nothing was heard of for the interval of the settings."""

    database: Database
    gateway: TemporalGateway
    hub: EventHub
    settings: Settings

    async def run(self) -> NoReturn:
        """Reconcile for ever; what is unreachable now is tried again at the next pass."""
        while True:
            await asyncio.sleep(self.settings.reconcile_interval_seconds)
            try:
                await self.reconcile()
            except (SQLAlchemyError, errors.HoldfastError, OSError) as error:
                log.warning("reconciliation put off", error=str(error))

    async def reconcile(self) -> int:
        """One pass: the number of executions that were started or settled."""
        async with self._claimed() as rows:
            changed = [await self._settle(row) for row in rows]
        return sum(changed)

    @asynccontextmanager
    async def _claimed(self) -> AsyncGenerator[Sequence[Row[Any]]]:
        async with self.database.transaction(None) as connection:
            locked = (await connection.execute(_TRY_LOCK, {"key": LOCK})).scalar_one()
            parameters = {"idle": self.settings.reconcile_interval_seconds, "most": BATCH}
            yield (await connection.execute(_UNSETTLED, parameters)).all() if locked else ()

    async def _settle(self, row: Row[Any]) -> bool:
        try:
            end, error = await self.gateway.end_of(row.workflow_id)
        except KeyError:
            return await self._restore(row)
        if end is not None:
            return await self._finish(row, end, error)
        await self._put_off(row)
        return False

    async def _restore(self, row: Row[Any]) -> bool:
        """A workflow that Temporal never saw is started; one that it lost cannot be."""
        if row.status != ExecutionStatus.QUEUED:
            return await self._finish(row, ExecutionEnd.FAILED, WORKFLOW_LOST)
        async with self.database.transaction(row.organization_id) as connection:
            execution = await Executions(connection, row.organization_id).get(row.id)
            query = select(func.count()).select_from(Message).where(Message.id == row.id)
            has_message = bool((await connection.execute(query)).scalar_one())
        await self.gateway.start(
            execution.workflow_id,
            admission_of(execution, self.settings, has_message=has_message),
            interactive=execution.interactive,
            metadata=execution.metadata,
        )
        log.info("started an accepted execution", execution_id=str(row.id))
        await self._put_off(row)
        return True

    async def _finish(self, row: Row[Any], end: ExecutionEnd, error: ExecutionError | None) -> bool:
        request = FinishExecution(organization_id=str(row.organization_id), end=end, error=error)
        async with self.database.transaction(row.organization_id) as connection:
            finished = await TurnLedger(connection, row.organization_id, row.id).finish(request)
        self.hub.announce(str(row.id), ended=True)
        log.info("settled an execution", execution_id=str(row.id), end=end.value)
        return finished

    async def _put_off(self, row: Row[Any]) -> None:
        async with self.database.transaction(row.organization_id) as connection:
            await Executions(connection, row.organization_id).touch(row.id)
