"""Makes the database and Temporal agree: what was accepted is started and placed, what has ended is recorded."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import structlog
from sqlalchemy import Row, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from control_plane import errors
from control_plane.api.executions.service import Executions, admission_of
from control_plane.api.executions.session_queue import call_next
from control_plane.api.internal.children import cancel_children, is_orphan, workflow_of_parent
from control_plane.api.internal.places import Places
from control_plane.api.internal.service import turn_ledger
from control_plane.api.pools.service import forget_workers
from control_plane.api.state import ApiState
from control_plane.waits import waits_of
from db.enums import ExecutionStatus
from db.models.sessions import Message
from runtimes.turns import ExecutionEnd, FinishExecution
from runtimes.types import ExecutionError

log = structlog.get_logger(__name__)

#: Executions looked at in one pass.
BATCH = 100
#: Seconds between two looks at an execution that waits: nothing happens there for hours.
WAITING_SECONDS = 60.0
#: Seconds until a turn is told again what it waited for: it may want a worker by now.
ANSWERED_SECONDS = 600.0

#: Claims what it finds: no replica looks at it again for the interval, whatever becomes of this look.
_CLAIM_UNSETTLED = text("SELECT * FROM holdfast_unsettled(:idle, :most)")

_CLAIM_WAITING_FOR_POOL = text("SELECT * FROM holdfast_waiting_for_pool(:since, :most)")

WORKFLOW_LOST = ExecutionError(
    code="workflow_lost",
    message="Temporal does not know the execution's workflow.",
    hint="Was Temporal's database replaced? Start the execution again.",
)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Looks after executions that nothing was heard of for the interval of the settings."""

    state: ApiState

    async def run(self) -> None:
        """Reconcile for ever, whatever fails."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reconcile_for_ever())
            tasks.create_task(self._place_for_ever())

    async def _reconcile_for_ever(self) -> NoReturn:
        while True:
            await asyncio.sleep(self.state.settings.reconcile_interval_seconds)
            await _tried(self.reconcile())

    async def _place_for_ever(self) -> NoReturn:
        """A worker that comes may be what executions wait for; whatever is missed here, the next pass finds."""
        came = self.state.live.came
        while True:
            await came.wait()
            came.clear()
            await _tried(self.place())

    async def reconcile(self) -> int:
        """One pass: the number of executions that were started or settled."""
        async with self.state.database.transaction(None) as connection:
            parameters = {"idle": self.state.settings.reconcile_interval_seconds, "most": BATCH}
            rows = (await connection.execute(_CLAIM_UNSETTLED, parameters)).all()
            await forget_workers(connection)
        return sum([await _tried(self._settle(row), execution_id=str(row.id)) for row in rows])

    async def place(self) -> int:
        """Look at everything that waits for a pool: the number of executions that may go on."""
        async with self.state.database.transaction(None) as connection:
            since = (await connection.execute(select(func.now()))).scalar_one()
        placed, rows = 0, [None]
        while rows:
            rows = await self._claim_waiting(since)
            placed += sum([await _tried(self._look_for_pool(row), execution_id=str(row.id)) for row in rows])
        return placed

    async def _claim_waiting(self, since: datetime) -> Sequence[Row[Any]]:
        async with self.state.database.transaction(None) as connection:
            parameters = {"since": since, "most": BATCH}
            return (await connection.execute(_CLAIM_WAITING_FOR_POOL, parameters)).all()

    async def _settle(self, row: Row[Any]) -> int:
        try:
            end, error = await self.state.gateway.end_of(row.workflow_id, row.first_run_id)
        except KeyError:
            return await self._restore(row)
        if end is not None:
            return await self._finish(row, end, error)
        if await self._cancel_orphan(row):
            return 1
        if row.status == ExecutionStatus.WAITING_FOR_SESSION:
            return await call_next(self.state.database, self.state.gateway, row.organization_id, row.id)
        if row.status == ExecutionStatus.WAITING_FOR_POOL:
            return await self._look_for_pool(row)
        return await self._look_at_waiting(row) if row.status == ExecutionStatus.WAITING else 0

    async def _cancel_orphan(self, row: Row[Any]) -> bool:
        """A child that its parent could not cancel at its own end is cancelled here."""
        async with self.state.database.transaction(row.organization_id) as connection:
            orphan = await is_orphan(connection, row.id)
        if orphan:
            await self.state.gateway.cancel(row.workflow_id, row.first_run_id)
            log.info("cancelled a child that nobody waits for", execution_id=str(row.id))
        return orphan

    async def _look_for_pool(self, row: Row[Any]) -> int:
        """Tell an execution that a pool fits it by now, or that none ever will; it asks for its place itself."""
        async with self.state.database.transaction(row.organization_id) as connection:
            execution = await Executions(connection, row.organization_id).get(row.id)
            if execution.status != ExecutionStatus.WAITING_FOR_POOL:
                return 0
            resolution = await Places(connection, row.organization_id, self.state.placement).decide(execution)
        if resolution.pool is None and not resolution.is_final():
            return 0
        await self.state.gateway.place(row.workflow_id, row.first_run_id)
        log.info("told an execution to ask for its place", execution_id=str(row.id), pool=resolution.pool)
        return 1

    async def _look_at_waiting(self, row: Row[Any]) -> int:
        """Tell a suspended turn that it need not wait any more, in case nobody else could."""
        async with self.state.database.transaction(row.organization_id) as connection:
            waits = await waits_of(connection, row.id)
            later = ANSWERED_SECONDS if waits.enough else WAITING_SECONDS
            await Executions(connection, row.organization_id).put_off(row.id, later)
        if waits.enough:
            await self.state.gateway.answered(row.workflow_id, row.first_run_id, waits.come)
            log.info("told a turn what it waited for", execution_id=str(row.id))
        return int(waits.enough) or await self._deliver(row)

    async def _deliver(self, row: Row[Any]) -> int:
        """Send messages again that their workflow has forgotten, as after a reset; it queues none twice."""
        async with self.state.database.transaction(row.organization_id) as connection:
            forgotten = await Executions(connection, row.organization_id).untaken_messages(row.id, WAITING_SECONDS)
        for message_id in forgotten:
            await self.state.gateway.send_message(row.workflow_id, row.first_run_id, str(message_id))
            log.info("sent a message again", execution_id=str(row.id), message_id=str(message_id))
        return len(forgotten)

    async def _restore(self, row: Row[Any]) -> int:
        """A workflow of ours that Temporal never saw is started; one that it lost cannot be."""
        if row.first_run_id is not None or row.attempt_turn > 0:
            return await self._finish(row, ExecutionEnd.FAILED, WORKFLOW_LOST)
        async with self.state.database.transaction(row.organization_id) as connection:
            execution = await Executions(connection, row.organization_id).get(row.id)
            query = select(func.count()).select_from(Message).where(Message.id == row.id)
            has_message = bool((await connection.execute(query)).scalar_one())
            parent = await workflow_of_parent(connection, row.organization_id, execution)
        config = self.state.frameworks.config
        await self.state.gateway.start(
            execution.workflow_id,
            admission_of(execution, self.state.settings, config, has_message=has_message, parent_workflow_id=parent),
            interactive=execution.interactive,
            metadata=execution.metadata,
        )
        log.info("started an accepted execution", execution_id=str(row.id))
        return 1

    async def _finish(self, row: Row[Any], end: ExecutionEnd, error: ExecutionError | None) -> int:
        request = FinishExecution(organization_id=str(row.organization_id), end=end, error=error)
        database, metrics = self.state.database, self.state.metrics
        async with turn_ledger(database, metrics, row.organization_id, row.id) as ledger:
            finished = await ledger.finish(request)
        self.state.hub.announce(str(row.id), ended=True)
        await cancel_children(self.state.database, self.state.gateway, row.organization_id, row.id)
        await call_next(self.state.database, self.state.gateway, row.organization_id, row.id)
        log.info("settled an execution", execution_id=str(row.id), end=end.value)
        return int(finished)


async def _tried(step: Awaitable[int], **about: str) -> int:
    """What a step changed; one that fails is put off to a later pass and holds up no other."""
    try:
        return await step
    except (SQLAlchemyError, errors.HoldfastError, OSError) as error:
        log.warning("reconciliation put off", error=str(error), **about)
    except Exception:
        log.exception("reconciliation failed", **about)
    return 0
