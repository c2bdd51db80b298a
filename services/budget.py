"""The limits of an execution, reserved before each call and settled after it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from runtimes.errors import BudgetExceeded, ConfigurationInvalid
from runtimes.types import Usage

Limit = Annotated[int, Field(gt=0, le=10**12)]


class Limits(BaseModel):
    """Limits of an execution over all its turns; what is None is not limited.

    `tokens` are input and output together; `seconds` count while a worker runs a turn, not while anybody is waited for.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens: Limit | None = None
    cost_usd: Annotated[float, Field(gt=0, le=1e6, strict=False)] | None = None
    model_calls: Limit | None = None
    tool_calls: Limit | None = None
    seconds: Annotated[float, Field(gt=0, le=10**8, strict=False)] | None = None

    def within(self, other: "Limits") -> "Limits":
        """The lower one of each."""
        theirs = other.model_dump()
        return Limits.model_validate({name: _lower(mine, theirs[name]) for name, mine in self})


@dataclass(frozen=True, slots=True)
class Estimate:
    """About what a model call will use: with no answer, and with the longest one that it asks for."""

    tokens: tuple[int, int]
    cost_usd: tuple[float, float] = (0.0, 0.0)
    model_calls: tuple[int, int] = (1, 1)


@dataclass(slots=True)
class Hold:
    """What is reserved for a call, by its limit; `used` is what it did use, as far as is known when it ends."""

    reserved: Mapping[str, float]
    used: Usage


class Budget:
    """What is left of an execution's limits; `used` is what its turns have used so far, this one's steps included.

    Calls of which is not known what they used count as what was reserved for them.

    Raises:
        BudgetExceeded: the next call would go beyond a limit; its `limit` names the field of `Limits`.
        ConfigurationInvalid: the cost is limited, but not known.
    """

    #: Why an execution may run no longer.
    time_is_up = "as long as it may"

    def __init__(self, limits: Limits, used: Usage) -> None:
        self.limits = limits
        self._used = used
        self._holds: list[Hold] = []
        self._released = asyncio.Event()
        self._out_of_time: BudgetExceeded | None = None

    @asynccontextmanager
    async def model_call(self, estimate: Estimate) -> AsyncGenerator[Hold]:
        """Reserve a model call; settle it with what it used.

        A call begins if its request fits; its answer gets what is left. While others are under way it waits for
        them, unless its longest answer fits beside theirs.
        """
        while (reserved := self._room(estimate)) is None:
            self._released.clear()
            await self._released.wait()
        hold = Hold(reserved, Usage())
        self._holds.append(hold)
        try:
            yield hold
        finally:
            self._holds.remove(hold)
            self._used += hold.used
            self._released.set()

    def end_time(self) -> BudgetExceeded:
        """Time is up: no call begins from now on; gives why."""
        exceeded = BudgetExceeded(f"The execution has run for {self.limits.seconds:g} s, {self.time_is_up}.")
        exceeded.limit = "seconds"
        self._out_of_time = exceeded
        return exceeded

    async def begin_tool_call(self) -> None:
        """Count a tool call, wherever it is counted."""
        self.tool_call()

    def tool_call(self) -> None:
        """Count a tool call."""
        self._check_time()
        limit = self.limits.tool_calls
        if limit is not None and self._used.tool_calls >= limit:
            raise _exceeded("tool_calls", limit)
        self._used += Usage(tool_calls=1)

    def _check_time(self) -> None:
        if self._out_of_time is not None:
            raise self._out_of_time

    def _room(self, estimate: Estimate) -> Mapping[str, float] | None:
        """What can be reserved of each limit; None as long as other calls have it."""
        self._check_time()
        reserved: dict[str, float] = {}
        for name, used in self._spent().items():
            limit: float | None = getattr(self.limits, name)
            if limit is not None:
                least, most = getattr(estimate, name)
                left = _left(name, limit, used, least)
                held = sum(hold.reserved[name] for hold in self._holds)
                if self._holds and held + most > left:
                    return None
                reserved[name] = min(most, left)
        return reserved

    def _spent(self) -> Mapping[str, float | None]:
        used = self._used
        tokens = used.input_tokens + used.output_tokens + used.reserved_tokens
        cost = None if used.reserved_cost_usd is None else used.known_cost_usd + used.reserved_cost_usd
        return {"model_calls": used.model_calls, "tokens": tokens, "cost_usd": cost}


def _left(name: str, limit: float, used: float | None, least: float) -> float:
    """What is left of a limit, for a call that needs so much at least."""
    if used is None:
        raise ConfigurationInvalid("The execution's cost is limited, but what it has cost is not known.")
    if used >= limit or used + least > limit:
        raise _exceeded(name, limit)
    return limit - used


def _exceeded(name: str, limit: float) -> BudgetExceeded:
    failure = BudgetExceeded(f"The execution has reached its limit: {name} = {limit:g}.")
    failure.limit = name
    return failure


def _lower(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
