"""A budget that several executions spend from: the control plane keeps it, call by call."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID, uuid4

from runtimes.errors import BudgetExceeded, RuntimeFailure
from runtimes.types import Usage
from services.agent_settings import AgentSettings
from services.budget import Budget, Estimate, Hold, Limits
from services.control_plane_client.models import AttemptOpened, Reserve, Reserved

#: Seconds between two looks while calls of others have what is left.
FIRST_WAIT, LONGEST_WAIT = 0.05, 1.0


class Reservations(Protocol):
    """The place where calls are reserved and settled, each once."""

    async def reserve(self, wanted: Reserve) -> Reserved: ...
    async def settle(self, reservation: UUID, usage: Usage) -> None: ...


class FamilyBudget(Budget):
    """Reserves each call with the control plane; `limits` are the lowest of all that hold.

    Raises:
        BudgetExceeded: as `Budget`; `is_inherited` where the limit is that of an execution above.
    """

    time_is_up = "as long as the limit lasts that it shares with the executions above and below it"

    def __init__(self, limits: Limits, used: Usage, reservations: Reservations) -> None:
        super().__init__(limits, used)
        self._reservations = reservations

    @asynccontextmanager
    async def model_call(self, estimate: Estimate) -> AsyncGenerator[Hold]:
        """Reserve a model call; settle it with what it used. One that is never settled has used all of it."""
        wanted = Reserve(
            id=uuid4(), model_calls=estimate.model_calls, tokens=estimate.tokens, cost_usd=estimate.cost_usd
        )
        await self._reserve(wanted)
        hold = Hold({}, Usage())
        try:
            yield hold
        finally:
            await asyncio.shield(self._settle(wanted.id, hold.used))

    async def begin_tool_call(self) -> None:
        """Count a tool call."""
        await self._reserve(Reserve(id=uuid4(), tool_calls=1))

    async def _reserve(self, wanted: Reserve) -> None:
        wait = FIRST_WAIT
        while True:
            self._check_time()
            reserved = await self._reservations.reserve(wanted)
            if reserved.is_granted:
                return
            if reserved.exceeded:
                raise _exceeded(reserved)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _settle(self, reservation: UUID, used: Usage) -> None:
        try:
            await self._reservations.settle(reservation, used)
        except RuntimeFailure:
            return


def budget_of(settings: AgentSettings, opened: AttemptOpened, reservations: Reservations) -> Budget:
    """The budget of an attempt: its own, or one that it shares with other executions."""
    if opened.shared is not None:
        return FamilyBudget(opened.shared.limits, opened.used, reservations)
    return Budget(settings.limits(opened.budget, opened.decisions), opened.used)


def _exceeded(reserved: Reserved) -> BudgetExceeded:
    whose = "The execution has" if reserved.is_own else "An execution above this one has"
    failure = BudgetExceeded(f"{whose} reached its limit: {reserved.exceeded} = {reserved.limit:g}.")
    failure.limit, failure.is_inherited = reserved.exceeded, not reserved.is_own
    return failure
