"""Shapes of the journal's steps."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from control_plane.api.schemas import NextCursor, Paging
from db.enums import StepKind, StepStatus
from runtimes.types import ExecutionError, Usage

#: What a column holds.
MOST = 2**31 - 1
#: Steps in one answer when their requests or responses are in it.
MAX_WHOLE = 20


class Step(BaseModel):
    """One model call or tool call. `key` is the tool call's id; `timings` are in seconds; `ended` is since 1970.

    Of them `provider` is this try's alone. `failed` is begun anew; of an `unknown` one nobody knows whether it was
    done.
    """

    model_config = ConfigDict(from_attributes=True)

    execution_id: UUID
    turn: int
    ordinal: int
    attempt: int
    kind: StepKind
    status: StepStatus
    name: str
    key: str
    effect: str
    usage: Usage
    timings: dict[str, float]
    error: ExecutionError | None
    started_at: datetime
    ended_at: datetime | None
    request: Any = None
    response: Any = None


class StepPage(BaseModel):
    """Steps, in the order in which they were begun."""

    items: list[Step]
    next_cursor: NextCursor


class ListSteps(Paging):
    """Which steps to list, and whether whole."""

    turn: Annotated[int, Field(ge=1, le=MOST)] | None = None
    include: Annotated[
        str,
        Field(
            pattern=r"^(request|response)(,(request|response))?$",
            description=f"`request`, `response` or both: adds what was sent and answered, {MAX_WHOLE} steps at most.",
        ),
    ] = ""

    @property
    def whole(self) -> frozenset[str]:
        """What is added."""
        return frozenset(filter(None, self.include.split(",")))

    @property
    def most(self) -> int:
        """How many steps an answer has."""
        return min(self.limit, MAX_WHOLE) if self.whole else self.limit
