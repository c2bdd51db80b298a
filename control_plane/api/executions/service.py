"""Executions as clients see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import orjson
from sqlalchemy import Row, Select, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from control_plane import errors
from control_plane.api.executions import admission
from control_plane.api.executions.family import usage_below
from control_plane.api.executions.placement import Placement
from control_plane.api.executions.schemas import Execution as ExecutionBody
from control_plane.api.executions.schemas import ExecutionCreate, ExecutionList
from control_plane.api.schemas import Notice
from control_plane.settings import Settings
from db.enums import TERMINAL, ExecutionStatus, MessageRole, Source
from db.models.executions import Execution, Turn
from db.models.sessions import Message
from db.sql import Sql
from runtimes.frameworks import FrameworksConfig
from runtimes.turns import USUAL_PRIORITY, Admission, TurnOutcome
from runtimes.types import ExecutionError, Usage
from workflows.types import AgentExecutionResult, workflow_id_of

EXECUTIONS = Execution.__table__
#: Fields that came later, with what they are where nobody gives them.
_LATER = {
    "budget": None,
    "output_schema": None,
    "priority": USUAL_PRIORITY,
    "if_no_pool": "wait",
    "session_concurrency": None,
}
#: The turn of a message that no turn is to have.
WITHDRAWN = 0
NOTHING = Usage()
_GET = Sql("SELECT * FROM executions WHERE id = :id AND organization_id = :organization_id")


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that was sent: `sender` is this request, `is_taken` by a turn already."""

    id: UUID
    sender: UUID
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Executions:
    """One organization's executions, inside the caller's transaction."""

    connection: AsyncConnection
    organization_id: UUID

    async def create(self, body: ExecutionCreate, key: str | None, placement: Placement) -> tuple[Row[Any], bool]:
        """Admit an execution; with a key that was used before, give the one that it made, which is not new.

        Raises:
            errors.AgentUnknown: there is no such agent.
            errors.NotFound: there is no such session.
            errors.RuntimeUnfit, errors.PoolMissing: nothing can run it, or nothing now.
            errors.IdempotencyMismatch: the key was used with another body.
        """
        new = self._new(body, key)
        if (repeated := await self._repeated(new)) is not None:
            return repeated, False
        agent = await admission.require_agent(self.connection, self.organization_id, body.agent_id)
        await self._require_session(body.session_id)
        wanted = agent.wanted(body.runtime, body.output_schema)
        wait = body.if_no_pool == "wait"
        resolution = await placement.require(self.connection, self.organization_id, wanted, wait=wait)
        row = await admission.insert(self.connection, new, agent.spec, resolution)
        return (row, True) if row is not None else await self.create(body, key, placement)

    async def get(self, execution_id: UUID) -> Row[Any]:
        """One execution.

        Raises:
            errors.NotFound: the organization has no such execution.
        """
        parameters = {"id": execution_id, "organization_id": self.organization_id}
        row = (await _GET.execute(self.connection, parameters)).first()
        if row is None:
            raise errors.NotFound(f"There is no execution '{execution_id}'.")
        return row

    async def page(self, wanted: ExecutionList, after: tuple[datetime, UUID] | None) -> list[Row[Any]]:
        """Executions, newest first, one more than asked for where there are more."""
        query = self._mine()
        for column, value in (
            (Execution.status, wanted.status),
            (Execution.agent_id, wanted.agent_id),
            (Execution.session_id, wanted.session_id),
            (Execution.runtime, wanted.runtime),
        ):
            if value is not None:
                query = query.where(column == value)
        if after is not None:
            query = query.where(tuple_(Execution.created_at, Execution.id) < after)
        ordered = query.order_by(Execution.created_at.desc(), Execution.id.desc()).limit(wanted.limit + 1)
        return list(await self.connection.execute(ordered))

    async def result(self, execution_id: UUID) -> AgentExecutionResult | ExecutionStatus:
        """What the execution came to; its status while it has no result."""
        row = await self.get(execution_id)
        if row.status not in TERMINAL:
            return ExecutionStatus(row.status)
        query = select(Turn.outcome).where(Turn.execution_id == execution_id, Turn.outcome.is_not(None))
        last = (await self.connection.execute(query.order_by(Turn.turn.desc()).limit(1))).scalar_one_or_none()
        children = (await self.children_usage([row])).get(row.id, NOTHING)
        return _result(row, None if last is None else TurnOutcome.model_validate(last), children)

    async def bodies(self, rows: Sequence[Row[Any]]) -> list[ExecutionBody]:
        """Executions as the API shows them."""
        children = await self.children_usage(rows)
        return [body_of(row, children=children.get(row.id, NOTHING)) for row in rows]

    async def children_usage(self, rows: Sequence[Row[Any]]) -> Mapping[UUID, Usage]:
        """Sum up the usage of the executions that these have started, and so on; nothing for those without any."""
        return await usage_below(self.connection, [row.id for row in rows])

    async def store_message(self, row: Row[Any], content: str, key: str | None) -> StoredMessage:
        """Keep a message for a coming turn; the same key gives the same message, also one that was withdrawn.

        Raises:
            errors.ExecutionClosed, errors.ExecutionNotInteractive: the execution takes no message.
            errors.IdempotencyMismatch: the key was used with another message.
        """
        require_open(row)
        if not row.interactive:
            raise errors.ExecutionNotInteractive("The execution takes one message only.")
        message_id = uuid7() if key is None else uuid5(row.id, f"message/{key}")
        sender = uuid7()
        values = {
            "id": message_id,
            "organization_id": self.organization_id,
            "session_id": row.session_id,
            "execution_id": row.id,
            "role": MessageRole.USER,
            "content": content,
            "sender": sender,
        }
        insert = pg_insert(Message).values(values)
        insert = insert.on_conflict_do_update(
            index_elements=["id"],
            set_={"turn": None, "sender": sender},
            where=(Message.turn == WITHDRAWN) | (Message.turn.is_(None) & Message.sender.is_not(None)),
        )
        await self.connection.execute(insert)
        query = select(Message.content, Message.turn).where(Message.id == message_id)
        stored = (await self.connection.execute(query)).one()
        if stored.content != content:
            raise errors.IdempotencyMismatch("The Idempotency-Key was used with another message.")
        return StoredMessage(message_id, sender, is_taken=stored.turn is not None)

    async def confirm_message(self, stored: StoredMessage) -> None:
        """Note that its workflow has a message: nobody withdraws it any more."""
        query = update(Message).where(Message.id == stored.id).values(sender=None)
        await self.connection.execute(query)

    async def withdraw_message(self, stored: StoredMessage) -> None:
        """Keep a message from being run, should its workflow hear of it all the same.

        One that a turn or its workflow has, or that was sent again meanwhile, stays.
        """
        mine = update(Message).where(Message.id == stored.id, Message.turn.is_(None), Message.sender == stored.sender)
        await self.connection.execute(mine.values(turn=WITHDRAWN))

    async def is_accepted(self, message_id: UUID) -> bool:
        """Whether a turn or its workflow has a message."""
        query = select(Message.turn, Message.sender).where(Message.id == message_id)
        message = (await self.connection.execute(query)).one()
        return message.sender is None or message.turn not in (None, WITHDRAWN)

    async def untaken_messages(self, execution_id: UUID, seconds: float) -> Sequence[UUID]:
        """Messages that were accepted, and that no turn has taken for so long; the first one first."""
        query = select(Message.id).where(
            Message.execution_id == execution_id,
            Message.turn.is_(None),
            Message.sender.is_(None),
            Message.created_at < func.now() - timedelta(seconds=seconds),
        )
        return (await self.connection.execute(query.order_by(Message.created_at, Message.id))).scalars().all()

    async def put_off(self, execution_id: UUID, seconds: float) -> None:
        """Let the reconciler look at it later."""
        later = func.now() + timedelta(seconds=seconds)
        await self.connection.execute(update(Execution).where(Execution.id == execution_id).values(reconciled_at=later))

    def _mine(self) -> Select[Any]:
        return select(EXECUTIONS).where(Execution.organization_id == self.organization_id)

    async def _require_session(self, session_id: UUID | None) -> None:
        if session_id is None:
            return
        if not await admission.session_exists(self.connection, self.organization_id, session_id):
            raise errors.NotFound(f"There is no session '{session_id}'.", field="/session_id")

    def _new(self, body: ExecutionCreate, key: str | None) -> admission.NewExecution:
        execution_id = uuid7()
        return admission.NewExecution(
            id=execution_id,
            organization_id=self.organization_id,
            workflow_id=workflow_id_of(execution_id),
            prompt=body.prompt,
            source=Source.API,
            runtime=body.runtime,
            session_id=body.session_id,
            interactive=body.interactive,
            metadata=body.metadata,
            idempotency_key=key,
            request_hash=None if key is None else _hash(body),
            budget=budget_of(body),
            output_schema=body.output_schema,
            priority=body.priority,
            session_concurrency=body.session_concurrency,
        )

    async def _repeated(self, new: admission.NewExecution) -> Row[Any] | None:
        if new.idempotency_key is None:
            return None
        query = self._mine().where(Execution.idempotency_key == new.idempotency_key)
        row = (await self.connection.execute(query)).first()
        if row is not None and row.request_hash != new.request_hash:
            raise errors.IdempotencyMismatch("The Idempotency-Key was used with another body.")
        return row


def require_open(row: Row[Any]) -> None:
    """Refuse to touch an execution that has ended.

    Raises:
        errors.ExecutionClosed: it has.
    """
    if row.status in TERMINAL:
        raise errors.ExecutionClosed(f"The execution has ended: {row.status}.", execution_status=row.status)


def admission_of(
    row: Row[Any],
    settings: Settings,
    frameworks: FrameworksConfig,
    *,
    has_message: bool,
    parent_workflow_id: str | None = None,
) -> Admission:
    """What the execution's workflow is started with; its first message has the execution's id."""
    return Admission(
        execution_id=str(row.id),
        organization_id=str(row.organization_id),
        session_id=str(row.session_id),
        agent_id=str(row.agent_id),
        agent_name=row.agent_name,
        runtime=row.runtime,
        task_queue=row.task_queue,
        message_id=str(row.id) if has_message else None,
        heartbeat_timeout_seconds=settings.heartbeat_timeout_seconds,
        turn_timeout_seconds=frameworks.limits(row.runtime).timeout_seconds or settings.turn_timeout_seconds,
        parent_workflow_id=parent_workflow_id,
        priority=row.priority,
        deploy=deploy_of(row),
    )


def deploy_of(row: Row[Any]) -> str:
    """Tell what an execution waits to be deployed; nothing where it waits for its session."""
    return row.resolution["deploy"] if row.status == ExecutionStatus.WAITING_FOR_POOL else ""


def body_of(row: Row[Any], warnings: list[Notice] | None = None, children: Usage = NOTHING) -> ExecutionBody:
    """The execution as the API shows it; `children` is what those have used that it has started."""
    values = row._asdict()  # pyright: ignore[reportPrivateUsage]
    shown = ExecutionBody.model_validate({**values, "turn": row.attempt_turn, "warnings": warnings or []})
    return shown.model_copy(update={"usage": shown.usage + children, "children_usage": children})


def budget_of(body: ExecutionCreate) -> dict[str, Any]:
    """The limits that a start asks for."""
    return {} if body.budget is None else body.budget.model_dump(exclude_none=True)


def _hash(body: ExecutionCreate) -> bytes:
    """Fields that came later count where they are used: keys of earlier versions stay good."""
    given = body.model_dump(mode="json")
    given = {name: value for name, value in given.items() if name not in _LATER or value != _LATER[name]}
    return sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).digest()


def _result(row: Row[Any], last: TurnOutcome | None, children: Usage) -> AgentExecutionResult:
    return AgentExecutionResult(
        success=row.status == ExecutionStatus.COMPLETED and row.error is None,
        execution_id=str(row.id),
        session_id=str(row.session_id or ""),
        response=row.response or "",
        usage=Usage.model_validate(row.usage) + children,
        children_usage=children,
        tool_messages=last.tool_messages if last else [],
        model=row.model or "",
        runtime=row.runtime,
        finish_reason=row.finish_reason,
        output=row.output,
        error=None if row.error is None else ExecutionError.model_validate(row.error),
        metadata=row.metadata,
    )
