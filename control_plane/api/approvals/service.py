"""Decisions of humans: read, made once, and told to the workflow that waits for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy import Row, Text, cast
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import errors
from control_plane.api.approvals import statements
from control_plane.api.approvals.schemas import Approval, Approve, Deny, ListApprovals
from control_plane.api.executions.service import Executions, require_open
from control_plane.api.internal.statements import lock
from control_plane.api.problems import invalid_input
from control_plane.api.schemas import Notice
from control_plane.api.state import ApiState
from db.enums import TERMINAL, ApprovalKind, ApprovalStatus
from runtimes.turns import ApprovalDecision
from services.budget import Limits

log = structlog.get_logger(__name__)

#: Who decided, where the client of Temporal did not say.
TEMPORAL = "temporal"


@dataclass(frozen=True, slots=True)
class ApprovalDesk:
    """One organization's approvals."""

    organization_id: UUID
    state: ApiState

    async def page(self, wanted: ListApprovals, after: tuple[datetime, UUID] | None) -> Sequence[Row[Any]]:
        """Approvals, oldest first, one more than asked for where there are more."""
        async with self.state.database.transaction(self.organization_id) as connection:
            query = statements.wanted_of(statements.approvals(self.organization_id), wanted, after)
            return (await connection.execute(query)).all()

    async def require_execution(self, execution_id: UUID) -> None:
        """Accept an execution of the organization.

        Raises:
            errors.NotFound: it has no such execution.
        """
        async with self.state.database.transaction(self.organization_id) as connection:
            await Executions(connection, self.organization_id).get(execution_id)

    async def get(self, approval_id: UUID) -> Row[Any]:
        """One approval.

        Raises:
            errors.NotFound: the organization has no such approval.
        """
        async with self.state.database.transaction(self.organization_id) as connection:
            return await self._read(connection, approval_id)

    async def _read(self, connection: AsyncConnection, approval_id: UUID) -> Row[Any]:
        query = statements.approvals(self.organization_id).where(statements.Approval.id == approval_id)
        row = (await connection.execute(query)).first()
        if row is None:
            raise errors.NotFound(f"There is no approval '{approval_id}'.", hint="See: holdfast approvals list")
        return row

    async def key_name(self, key_id: UUID) -> str:
        """Who decides, as the log names them."""
        async with self.state.database.transaction(self.organization_id) as connection:
            return await statements.key_name(connection, key_id)

    async def decide(self, approval_id: UUID, decision: Deny, decided_by: str) -> Approval:
        """Decide, once: the first decision holds. A workflow that cannot be told hears of it later.

        Raises:
            errors.NotFound: the organization has no such approval.
            errors.ArgumentsChanged: something else is asked than what was seen.
            errors.ExecutionClosed: the execution has ended.
            errors.ApprovalClosed: somebody has decided, or the turn has ended without a decision.
            errors.ApprovalExpired: nobody decided in time.
            errors.FieldMissing, errors.ValueInvalid: the limit is not one that the budget can be raised to.
        """
        asked = await self.get(approval_id)
        if decision.digest is not None and decision.digest != asked.digest:
            raise errors.ArgumentsChanged("Something else is asked than what was seen.", digest=asked.digest)
        limit = _limit(asked, decision) if isinstance(decision, Approve) else None
        execution, decided = await self._record(asked, decision, limit, decided_by)
        self.state.hub.announce(str(asked.execution_id))
        warnings = await self._tell(execution, approval_id)
        if not decided:
            raise errors.ApprovalExpired(f"Nobody decided until {asked.expires_at:%Y-%m-%d %H:%M:%S} UTC.")
        row = await self.get(approval_id)
        return Approval.model_validate(row).model_copy(update={"warnings": warnings})

    async def pass_on(self, execution_id: UUID, decision: ApprovalDecision) -> ApprovalStatus:
        """Decide for a client of Temporal; the same decision again is told what it did.

        Raises:
            errors.HoldfastError: as `decide`.
        """
        asked = await self._of_execution(execution_id, decision.approval_id)
        wanted = ApprovalStatus.APPROVED if decision.approve else ApprovalStatus.DENIED
        decided_by = decision.decided_by or TEMPORAL
        if (asked.status, asked.decided_by, asked.note) == (wanted, decided_by, decision.note):
            return wanted
        return (await self.decide(asked.id, _body(decision), decided_by)).status

    async def _of_execution(self, execution_id: UUID, approval_id: str) -> Row[Any]:
        query = statements.approvals(self.organization_id).where(
            statements.Approval.execution_id == execution_id, cast(statements.Approval.id, Text) == approval_id
        )
        async with self.state.database.transaction(self.organization_id) as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise errors.NotFound(f"The execution has no approval '{approval_id[:80]}'.")
        return row

    async def _record(
        self, asked: Row[Any], decision: Deny, limit: float | None, decided_by: str
    ) -> tuple[Row[Any], bool]:
        """The execution, and whether the decision came in time."""
        status = ApprovalStatus.APPROVED if isinstance(decision, Approve) else ApprovalStatus.DENIED
        async with self.state.database.transaction(self.organization_id) as connection:
            execution = await lock(connection, self.organization_id, asked.execution_id, with_spec=False)
            if execution is None:
                raise errors.NotFound(f"There is no approval '{asked.id}'.")
            if execution.status in TERMINAL:
                _require_undecided(await self._read(connection, asked.id))
            require_open(execution)
            decided = await statements.decide(
                connection, asked.id, status, note=decision.note, limit=limit, decided_by=decided_by
            )
            if not decided:
                await statements.expire(connection, asked.id)
        if not decided:
            _require_expired(await self.get(asked.id))
        return execution, decided

    async def _tell(self, execution: Row[Any], approval_id: UUID) -> list[Notice]:
        try:
            await self.state.gateway.answered(execution.workflow_id, execution.first_run_id, [str(approval_id)])
        except errors.HoldfastError as error:
            log.warning("decision not told yet", execution_id=str(execution.id), error=error.detail)
            message = f"{error.detail} The decision is kept; the execution goes on as soon as it hears of it."
            return [Notice(code=error.code, message=message, hint=error.hint)]
        return []


def _body(decision: ApprovalDecision) -> Deny:
    given = decision.model_dump(include={"note", "limit"} if decision.approve else {"note"})
    try:
        return (Approve if decision.approve else Deny).model_validate(given)
    except ValidationError as invalid:
        wrong = [{**error, "loc": ("body", *error["loc"])} for error in invalid.errors()]
        raise invalid_input(RequestValidationError(wrong, body=given)) from invalid


def _require_undecided(row: Row[Any]) -> None:
    """A decision that was made holds, and says whose it is, also once the execution has ended."""
    if row.status in (ApprovalStatus.APPROVED, ApprovalStatus.DENIED):
        raise _decided(row)


def _require_expired(row: Row[Any]) -> None:
    if row.status != ApprovalStatus.EXPIRED:
        raise _decided(row)


def _decided(row: Row[Any]) -> errors.ApprovalClosed:
    return errors.ApprovalClosed(
        f"It was decided already: {row.status}.", approval_status=row.status, decided_by=row.decided_by
    )


def _limit(asked: Row[Any], decision: Approve) -> float | None:
    """What a budget's limit is raised to, as its kind has it."""
    if asked.kind != ApprovalKind.BUDGET:
        if decision.limit is not None:
            raise errors.ValueInvalid("Only a budget has a limit to be raised.", field="/limit")
        return None
    name, value = asked.key, asked.detail.get("value") or 0
    if decision.limit is None:
        hint = f"Say what {name} is raised to; it is {value:g} now."
        raise errors.FieldMissing("'limit' is missing.", field="/limit", hint=hint)
    if decision.limit <= value:
        raise errors.ValueInvalid(f"'limit' has to be more than the present {name}, {value:g}.", field="/limit")
    return _possible(name, decision.limit)


def _possible(name: str, limit: float) -> float:
    try:
        Limits.model_validate({name: int(limit) if limit == int(limit) else limit})
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise errors.ValueInvalid(f"'limit' cannot be a limit of {name}: {message}.", field="/limit") from error
    return limit
