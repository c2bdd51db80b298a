"""Shapes of an execution's metrics."""

from uuid import UUID

from pydantic import BaseModel, Field

from db.enums import AttemptState, ExecutionStatus
from runtimes.types import Usage


class AttemptMetrics(BaseModel):
    """Attempts at the execution's turns; of a `lost` one the worker fell silent."""

    total: int = 0
    lost: int = 0
    by_status: dict[AttemptState, int] = Field(default_factory=dict[AttemptState, int])


class ModelCallMetrics(BaseModel):
    """Model calls as the journal has them; `cached` ones were answered by the response cache.

    `replayable` are answers that a later attempt at their turn found in the journal. `seconds` are the sum
    of the requests' own times, without the waiting between tries.
    """

    total: int = 0
    completed: int = 0
    failed: int = 0
    cached: int = 0
    replayable: int = 0
    seconds: float = 0.0


class ToolCallMetrics(BaseModel):
    """Calls of one tool; of an `unknown` one nobody knows whether it was done."""

    completed: int = 0
    failed: int = 0
    unknown: int = 0
    running: int = 0
    replayable: int = 0


class ExecutionMetrics(BaseModel):
    """What an execution took so far. Seconds are None until they are known.

    `queued_seconds` go from its start to the first attempt, `total_seconds` to its end or to now; `running_seconds` are
    those in which a worker ran a turn. `first_token_seconds` go from the start to the first token of a model's streamed
    answer. `output_tokens_per_second` is over the time of the model calls. `errors` counts, by code, attempts and model
    calls that failed.
    """

    execution_id: UUID
    status: ExecutionStatus
    runtime: str
    queued_seconds: float | None
    first_token_seconds: float | None
    running_seconds: float
    total_seconds: float
    turns: int
    attempts: AttemptMetrics
    model_calls: ModelCallMetrics
    tool_calls: dict[str, ToolCallMetrics]
    usage: Usage
    output_tokens_per_second: float | None
    errors: dict[str, int]
