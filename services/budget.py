"""The limits of an execution, reserved before each call and settled after it."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from runtimes.errors import BudgetExceeded
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


@dataclass(slots=True)
class Hold:
    """What a call may use; `used` is what it did use, as far as is known when it ends."""

    tokens: int
    used: Usage


class Budget:
    """What is left of an execution's limits; `used` is what its turns have used so far, this one's steps included.

    Raises:
        BudgetExceeded: the next call would go beyond a limit; its `limit` names the field of `Limits`.
    """

    def __init__(self, limits: Limits, used: Usage) -> None:
        self.limits = limits
        self._used = used
        self._held = 0
        self._out_of_time: BudgetExceeded | None = None

    @contextmanager
    def model_call(self, tokens: int) -> Generator[Hold]:
        """Reserve a model call that will use about so many tokens; settle it with what it used."""
        limits, used = self.limits, self._used
        self._check_time()
        self._check("model_calls", used.model_calls + 1, limits.model_calls)
        self._check("tokens", used.input_tokens + used.output_tokens + self._held + tokens, limits.tokens)
        if limits.cost_usd is not None and used.cost_usd is not None and used.cost_usd >= limits.cost_usd:
            raise _exceeded("cost_usd", limits.cost_usd)
        self._used += Usage(model_calls=1)
        self._held += tokens
        hold = Hold(tokens, Usage())
        try:
            yield hold
        finally:
            self._held -= tokens
            self._used += hold.used.model_copy(update={"model_calls": 0})

    def end_time(self) -> BudgetExceeded:
        """Time is up: no call begins from now on; gives why."""
        exceeded = BudgetExceeded(f"The execution has run for {self.limits.seconds:g} s, as long as it may.")
        exceeded.limit = "seconds"
        self._out_of_time = exceeded
        return exceeded

    def tool_call(self) -> None:
        """Count a tool call."""
        self._check_time()
        self._check("tool_calls", self._used.tool_calls + 1, self.limits.tool_calls)
        self._used += Usage(tool_calls=1)

    def _check_time(self) -> None:
        if self._out_of_time is not None:
            raise self._out_of_time

    def _check(self, name: str, would_be: int, limit: int | None) -> None:
        if limit is not None and would_be > limit:
            raise _exceeded(name, limit)


def _exceeded(name: str, limit: float) -> BudgetExceeded:
    failure = BudgetExceeded(f"The execution has reached its limit: {name} = {limit:g}.")
    failure.limit = name
    return failure


def _lower(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)
