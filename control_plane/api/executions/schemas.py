"""Bodies of the executions' endpoints."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from control_plane.api.schemas import NextCursor, Notice, Paging, PlainText, Strict
from control_plane.api.turn_settings import Budget, OutputSchema, SessionConcurrency
from db.enums import ExecutionStatus, Source
from runtimes.resolver import Resolution
from runtimes.turns import LAST_PRIORITY, USUAL_PRIORITY
from runtimes.types import ExecutionError, FinishReason, Usage

MAX_METADATA_KEYS = 64
MAX_METADATA_NAME = 200
MAX_METADATA_TEXT = 2000
METADATA_RULE = "At most 64 entries, names of 1 to 200 characters, texts of at most 2000."

Text = Annotated[str, StringConstraints(min_length=1)]
#: Names and ids that a client may write.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


def _within_limits(metadata: dict[str, Any]) -> dict[str, Any]:
    texts = [value for value in metadata.values() if isinstance(value, str)]
    if (
        len(metadata) > MAX_METADATA_KEYS
        or any(not 0 < len(name) <= MAX_METADATA_NAME for name in metadata)
        or any(len(text) > MAX_METADATA_TEXT for text in texts)
    ):
        raise PydanticCustomError("metadata_limits", METADATA_RULE)
    return metadata


#: It travels through Temporal, so it has to stay small.
Metadata = Annotated[
    dict[str, str | int | float | bool | None],
    AfterValidator(_within_limits),
    Field(json_schema_extra={"maxProperties": MAX_METADATA_KEYS}),
]


class ExecutionCreate(Strict):
    """Starts an execution of an agent, called by id or by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"agent_id": "demo", "prompt": "hello"}]})

    agent_id: Name
    prompt: Text | None = Field(None, description="The first user message; needed unless `interactive`.")
    session_id: UUID | None = Field(None, description="Continues a conversation.")
    runtime: Name | None = Field(None, description="Instead of the agent's own.")
    interactive: StrictBool = Field(False, description="Waits for further messages after each turn, until closed.")
    metadata: Metadata = Field(default_factory=dict[str, Any])
    if_no_pool: Annotated[Literal["wait", "fail"], Field(description="What happens where no live pool can run it.")] = (
        "wait"
    )
    budget: Budget | None = Field(None, description="Lowers the agent's limits; it raises none.")
    output_schema: OutputSchema | None = Field(None, description="Instead of the agent's.")
    session_concurrency: SessionConcurrency | None = Field(
        None,
        description="Instead of the agent's: what happens while the session has an execution that has not ended.",
    )
    priority: int = Field(USUAL_PRIORITY, ge=1, le=LAST_PRIORITY, strict=True, description="1 goes first, 5 last.")

    @model_validator(mode="after")
    def _has_something_to_do(self) -> "ExecutionCreate":
        if self.prompt is None and not self.interactive:
            hint = "Give a prompt, or start it as interactive."
            raise PydanticCustomError("field_missing", "The prompt is missing.", {"name": "prompt", "hint": hint})
        return self


class MessageCreate(Strict):
    """A further user message of an interactive execution."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"content": "And tomorrow?"}]})

    content: Text


class MessageQueued(BaseModel):
    """A message that waits for its turn."""

    message_id: UUID
    execution_id: UUID
    status: Literal["queued"] = "queued"


class Execution(BaseModel):
    """An execution as it is now. `last_seq` is the length of its event log."""

    id: UUID
    agent_id: UUID | None
    agent_name: str
    agent_version: int
    session_id: UUID | None
    workflow_id: str
    runtime: str
    task_queue: str = Field(description="Empty while it waits for a pool, or for its session.")
    resolution: Resolution | None = Field(description="How runtime and pool were found.")
    interactive: bool
    status: ExecutionStatus
    source: Source
    metadata: dict[str, Any]
    attempt: int
    turn: int
    last_seq: int
    response: str | None
    output: Any
    model: str | None
    finish_reason: FinishReason | None
    error: ExecutionError | None
    usage: Usage = Field(description="With that of the executions that it has started.")
    children_usage: Usage = Field(
        default_factory=Usage, description="The part of `usage` that the executions have which it has started."
    )
    seconds: float = Field(description="While a worker ran a turn.")
    budget: dict[str, Any]
    output_schema: dict[str, Any] | None
    priority: int
    parent_id: UUID | None = Field(description="The execution whose turn started this one.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    warnings: list[Notice] = Field(default_factory=list[Notice])


class ExecutionPage(BaseModel):
    """Executions, newest first."""

    items: list[Execution]
    next_cursor: NextCursor


class ExecutionPending(BaseModel):
    """An execution that has no result yet."""

    execution_id: UUID
    status: ExecutionStatus


class ExecutionList(Paging):
    """The parameters of the list of executions."""

    status: ExecutionStatus | None = None
    agent_id: UUID | None = None
    session_id: UUID | None = None
    runtime: Annotated[PlainText, Field(max_length=63)] | None = None
