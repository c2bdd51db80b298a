"""What crosses the boundary between workflow, activity and executor: references and short text."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from runtimes.json_text import JsonFault
from runtimes.types import ExecutionError, FinishReason, ToolMessage, Usage

#: Longest answer that travels through Temporal; the whole one is in the database.
SHORT_RESPONSE = 16_384
#: Characters of a decision's note, and of the name of who made it.
MAX_NOTE, MAX_DECIDER = 2000, 200
#: The highest limit that a budget can be raised to.
MAX_LIMIT = 10**12
#: With this begins what stands for an input that Temporal has, and that cannot be read.
UNREADABLE = "The input cannot be read: "
#: Of an execution that is told nothing else, as Temporal has it: 1 goes first.
USUAL_PRIORITY = 3
LAST_PRIORITY = 5


class TurnRequest(BaseModel):
    """One dispatch of a turn.

    `dispatch` counts from 1 and grows each time the workflow hands the same turn out again.
    `prompt` is set only where the message did not come through the control plane, and `message_key` names it there.
    `run_id` is the workflow run's: after a reset another one hands the same turns out. `goes_on`: the execution takes
    its next message after a turn that failed by itself.
    """

    model_config = ConfigDict(extra="ignore")

    execution_id: str
    organization_id: str
    turn: int
    dispatch: int = 1
    message_id: str | None = None
    prompt: str | None = None
    message_key: str | None = None
    run_id: str = ""
    goes_on: bool = False


class TurnStatus(StrEnum):
    """The end of a dispatch of a turn; `failed`: without an answer, and its execution goes on."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    PREEMPTED = "preempted"
    SUSPENDED = "suspended"


class TurnOutcome(BaseModel):
    """What a dispatch of a turn came to; `response` is cut to `SHORT_RESPONSE` characters.

    A suspended turn goes on when all of `waits` are answered, or after `wait_seconds`. `turn` is the database's
    number of it, 0 where the message was withdrawn; `is_other` says that it was that of another message, whose turn
    had not ended.
    """

    model_config = ConfigDict(extra="ignore")

    status: TurnStatus
    session_id: str = ""
    attempt: int = 0
    response: str = ""
    response_truncated: bool = False
    usage: Usage = Field(default_factory=Usage)
    tool_messages: list[ToolMessage] = Field(default_factory=list[ToolMessage])
    model: str = ""
    runtime: str = ""
    finish_reason: FinishReason | None = None
    output: Any = None
    waits: list[str] = Field(default_factory=list[str])
    wait_seconds: float | None = None
    turn: int | None = None
    is_other: bool = False
    error: ExecutionError | None = None


class StopReason(StrEnum):
    """Why a running turn is told to stop; `suspend`: it goes on after what it waits for."""

    CANCEL = "cancel"
    INTERRUPT = "interrupt"
    DRAIN = "drain"
    FENCED = "fenced"
    SUSPEND = "suspend"


class ApprovalDecision(BaseModel):
    """A human's decision; `limit` is what a budget's limit is raised to."""

    approval_id: str
    approve: bool
    note: str = ""
    limit: float | None = None
    decided_by: str = ""


class AttemptKey(BaseModel):
    """Which try at a turn this is, in Temporal's terms; `token` makes opening it idempotent.

    `started_at` is Temporal's moment of it: an activity that is reset counts its tries from 1 again.
    """

    workflow_id: str
    run_id: str
    try_number: int
    token: str
    started_at: datetime | None = None


#: What a client may write to start an execution through Temporal.
START_FIELDS = frozenset(
    {
        "agent_id",
        "prompt",
        "session_id",
        "runtime",
        "interactive",
        "metadata",
        "if_no_pool",
        "budget",
        "output_schema",
        "session_concurrency",
        "priority",
        "execution_id",
        "organization_id",
    }
)


class AdmitExecution(BaseModel):
    """An execution that was started past the REST API, asking for its row.

    `execution_id` is what it is called unless its client gave an id; `first_run_id` tells workflows apart that
    had the same id one after the other; `input` is what the client wrote, as far as it can be wanted, `fault` that of
    its text, `priority` what it gave the workflow itself.
    """

    execution_id: UUID
    workflow_id: str
    first_run_id: str
    input: Any = None
    fault: JsonFault | None = None
    priority: int | None = None


class Admission(BaseModel):
    """An admitted execution: where it belongs and who serves it; without a `task_queue` nobody does yet.

    Then `deploy` says what would help; where it is empty, its session has other executions.

    `parent_workflow_id` is the workflow that waits for its end.
    """

    execution_id: str
    organization_id: str
    session_id: str
    agent_id: str
    agent_name: str
    runtime: str
    task_queue: str
    message_id: str | None = None
    heartbeat_timeout_seconds: float = 15.0
    turn_timeout_seconds: float = 3600.0
    parent_workflow_id: str | None = None
    priority: int = USUAL_PRIORITY
    deploy: str = ""


class PlaceExecution(BaseModel):
    """An execution that waited for a pool, asking for its place."""

    organization_id: str


class Place(BaseModel):
    """The place where an execution's turns are run; without a `task_queue` nowhere yet: `deploy` says what may help."""

    runtime: str
    task_queue: str
    deploy: str = ""


class ExecutionEnd(StrEnum):
    """The terminal states of an execution."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class FinishExecution(BaseModel):
    """Record an end that no worker could record."""

    organization_id: str
    end: ExecutionEnd
    error: ExecutionError | None = None
