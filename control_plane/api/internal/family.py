"""Executions that spend from one budget: each from its own limits and from those of all that are above it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane import errors
from db.enums import ENDED
from db.sql import Sql
from services.agent_settings import raised
from services.budget import Limits
from services.control_plane_client.models import AgentSpec, Reserve, Reserved, Settle, SharedBudget

#: From the execution itself up to the one that nobody started.
_CHAIN = Sql("""
    WITH RECURSIVE chain AS (
        SELECT id, parent_id, agent_id, agent_version, budget FROM executions WHERE id = :id
        UNION ALL
        SELECT above.id, above.parent_id, above.agent_id, above.agent_version, above.budget
        FROM executions AS above JOIN chain ON above.id = chain.parent_id
    )
    SELECT chain.id, chain.parent_id, chain.budget AS asked, spec->'configuration'->'budget' AS given, (
        SELECT jsonb_object_agg(key, "limit" ORDER BY decided_at) FROM approvals
        WHERE execution_id = chain.id AND kind = 'budget' AND status = 'approved' AND "limit" IS NOT NULL
    ) AS raised
    FROM chain LEFT JOIN agent_versions ON agent_versions.agent_id = chain.agent_id
        AND agent_versions.version = chain.agent_version
""")
#: Whoever reserves from a family's budget holds its topmost execution.
_LOCK = Sql("SELECT 1 FROM executions WHERE id = :id FOR NO KEY UPDATE")
_FAMILY = """
    WITH RECURSIVE family AS (
        SELECT id FROM executions WHERE id = :id
        UNION ALL SELECT child.id FROM executions AS child JOIN family ON child.parent_id = family.id
    )
"""
#: What is held is what calls under way may still use; calls of attempts that are over have used all of it.
_SPENT = Sql(
    _FAMILY,
    f"""
    , call AS (
        SELECT reservations.*, settled OR attempts.status <> 'running' OR executions.status IN ({ENDED}) AS is_spent
        FROM family JOIN reservations ON reservations.execution_id = family.id
        JOIN executions ON executions.id = family.id
        JOIN attempts ON attempts.execution_id = family.id AND attempts.attempt = reservations.attempt
    )
    SELECT is_spent, sum(model_calls)::bigint AS model_calls, sum(tool_calls)::bigint AS tool_calls,
        sum(tokens)::bigint AS tokens, sum(cost_usd)::double precision AS cost_usd
    FROM call GROUP BY is_spent
    """,  # noqa: S608
)
_SECONDS = Sql(_FAMILY, "SELECT sum(seconds)::double precision FROM executions WHERE id IN (SELECT id FROM family)")
_HELD = Sql(f"""
    SELECT 1 FROM executions WHERE id = :id AND attempt = :attempt AND status NOT IN ({ENDED})
""")  # noqa: S608
_KEPT = Sql("SELECT * FROM reservations WHERE id = :reservation_id AND execution_id = :id")
_KEEP = Sql("""
    INSERT INTO reservations (id, organization_id, execution_id, attempt, settled, model_calls, tool_calls, tokens,
        cost_usd)
    SELECT :reservation_id, organization_id, id, :attempt, :settled, :model_calls, :tool_calls, :tokens, :cost_usd
    FROM executions WHERE id = :id
""")
#: A cost that is not known counts as what was reserved for it.
_SETTLE = Sql("""
    UPDATE reservations SET settled = true, model_calls = :model_calls, tokens = :tokens,
        cost_usd = coalesce(CAST(:cost_usd AS double precision), cost_usd)
    WHERE id = :reservation_id AND execution_id = :id AND NOT settled
""")
#: Limits of calls; that of time is looked at when an attempt opens.
COUNTED = ("model_calls", "tool_calls", "tokens", "cost_usd")


@dataclass(frozen=True, slots=True)
class Member:
    """An execution of the chain with the limits that it has itself."""

    id: UUID
    limits: Limits


@dataclass(frozen=True, slots=True)
class FamilyBudget:
    """The budget from which one execution may spend, inside the caller's transaction."""

    connection: AsyncConnection
    execution_id: UUID

    async def shared(self, row: Row[Any], seconds: float) -> SharedBudget | None:
        """Give an attempt's part of it; None where nothing is shared, so that the worker counts alone.

        Shared is what a child spends under a limit from above, and what an agent spends that may start children.
        """
        toolsets = AgentSpec.model_validate(row.spec).toolsets
        starts_children = any(toolset.get("type") == "task" for toolset in toolsets)
        if row.parent_id is None and not starts_children:
            return None
        chain = await self._chain()
        if not chain:
            return None
        limits = Limits()
        for member in chain:
            limits = limits.within(member.limits)
        left = [await self._seconds_left(member) for member in chain if member.limits.seconds is not None]
        if left:
            limits = limits.model_copy(update={"seconds": seconds + max(0.001, min(left))})
        return SharedBudget(limits=limits)

    async def reserve(self, attempt: int, request: Reserve) -> Reserved:
        """Reserve what a call may use; the same id reserves once.

        Raises:
            errors.AttemptFenced: the attempt is over.
        """
        chain = await self._chain()
        if chain:
            await _LOCK.execute(self.connection, {"id": chain[-1].id})
        if (await _HELD.execute(self.connection, {"id": self.execution_id, "attempt": attempt})).first() is None:
            raise errors.AttemptFenced("A newer attempt holds the turn.")
        mine = {"id": self.execution_id, "reservation_id": request.id}
        if (await _KEPT.execute(self.connection, mine)).first() is not None:
            return Reserved(is_granted=True)
        amounts = request.most()
        for member in chain:
            found = await self._room(member, request, amounts)
            if found is not None:
                return found
        await _KEEP.execute(self.connection, mine | amounts | {"attempt": attempt, "settled": request.tool_calls > 0})
        return Reserved(is_granted=True)

    async def settle(self, request: Settle) -> None:
        """Count what a call has used in place of what was reserved; once."""
        used = request.usage
        cost = None if used.reserved_cost_usd is None else used.known_cost_usd + used.reserved_cost_usd
        amounts = {
            "model_calls": used.model_calls,
            "tokens": used.input_tokens + used.output_tokens + used.reserved_tokens,
            "cost_usd": cost,
        }
        await _SETTLE.execute(self.connection, {"id": self.execution_id, "reservation_id": request.id, **amounts})

    async def _room(self, member: Member, request: Reserve, amounts: dict[str, float]) -> Reserved | None:
        """None if the call fits beneath the member's limits; what it may use at most is lowered to what is left."""
        sums = {row.is_spent: row for row in await _SPENT.execute(self.connection, {"id": member.id})}
        spent, held = sums.get(True), sums.get(False)
        for name, limit in _limited(member, amounts):
            left = limit - getattr(spent, name, 0)
            if left <= 0 or request.amounts(name)[0] > left:
                return Reserved(exceeded=name, limit=limit, is_own=member.id == self.execution_id)
            if held is not None and getattr(held, name) + amounts[name] > left:
                return Reserved()
            amounts[name] = min(amounts[name], left)
        return None

    async def _seconds_left(self, member: Member) -> float:
        used = (await _SECONDS.execute(self.connection, {"id": member.id})).scalar_one_or_none() or 0.0
        return (member.limits.seconds or 0.0) - used

    async def _chain(self) -> Sequence[Member]:
        """The execution and all above it that have limits, the topmost last."""
        rows = await _CHAIN.execute(self.connection, {"id": self.execution_id})
        members = [Member(row.id, _limits(row)) for row in rows]
        return [member for member in members if member.limits != Limits()]


def _limited(member: Member, amounts: Mapping[str, float]) -> list[tuple[str, float]]:
    """The limits that a call of these amounts comes under."""
    limits = [(name, getattr(member.limits, name)) for name in COUNTED if amounts[name]]
    return [(name, limit) for name, limit in limits if limit is not None]


def _limits(row: Row[Any]) -> Limits:
    limits = Limits.model_validate(row.given or {}).within(Limits.model_validate(row.asked or {}))
    return limits.model_copy(update=raised(row.raised or {}))
