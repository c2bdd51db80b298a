"""The worker API's bodies (`/internal/v1`), shared by its client and its server."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from runtimes.pools import PoolName
from runtimes.turns import ApprovalDecision, StopReason, TurnOutcome
from runtimes.types import ExecutionError, FinishReason, Message, ToolMessage, Usage
from services.budget import Limits
from services.turn_control import QuestionKind

#: Bytes of a model's answer, as JSON, that the journal takes; more is refused before anybody sees its end.
LARGEST_ANSWER = 16 * 1024 * 1024


class AgentSpec(BaseModel):
    """An agent as an execution pinned it; `runtime` is empty where the definition leaves it open."""

    model_config = ConfigDict(extra="ignore")

    id: str
    version: int
    name: str
    template: str | None = None
    runtime: str
    model_id: str
    system_prompt: str = ""
    toolsets: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    configuration: dict[str, Any] = Field(default_factory=dict[str, Any])


class StepKind(StrEnum):
    MODEL_CALL = "model_call"
    TOOL_CALL = "tool_call"


class StepStatus(StrEnum):
    """`claimed`: begun, and nothing else is known; `failed`: begin it anew.

    A step that was cut off with its attempt is `unknown` where nobody knows what came of it, else `cancelled`.
    """

    CLAIMED = "claimed"
    DONE = "done"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Step(BaseModel):
    """One model call or tool call of a turn, as the journal keeps it.

    `ordinal` counts a turn's steps from 1. `key` is the tool call's id; `hash` that of the canonical request,
    `fingerprint` that of its structure. `request` and `response` are JSON; where either is larger than 64 KB the
    control plane keeps it as a blob, and `response_blob` is what an opened attempt gets in its place.
    `timings` are in seconds: `ended` is when a tool call ended, since 1970; `first_token` and `total` count from the
    framework's request on, with earlier tries; `provider` is the time of this request alone.
    `workspace` is the blob that lists the workspace's files as the step left them, where it changed any.
    """

    ordinal: int
    kind: StepKind
    status: StepStatus
    attempt: int = 0
    key: str = ""
    name: str = ""
    effect: str = ""
    hash: str = ""
    fingerprint: str = ""
    request: Any = None
    response: Any = None
    response_blob: str | None = None
    usage: Usage = Field(default_factory=Usage)
    timings: dict[str, float] = Field(default_factory=dict[str, float])
    error: ExecutionError | None = None
    workspace: str | None = None


class ApprovalRequest(BaseModel):
    """A decision that a turn asks for; a repeated `id` asks for nothing new."""

    id: UUID
    kind: QuestionKind
    key: str
    digest: str
    name: str
    detail: dict[str, Any] = Field(default_factory=dict[str, Any])
    expires_seconds: float


class Decision(BaseModel):
    """An approval as a turn finds it; `expired` and `denied` mean no."""

    id: UUID
    kind: QuestionKind
    key: str
    digest: str
    status: Literal["pending", "approved", "denied", "expired", "withdrawn"]
    note: str = ""
    limit: float | None = None
    used: bool = False
    expires_in: float = 0.0


class OpenAttempt(BaseModel):
    """Take over a turn; shuts out every earlier attempt."""

    organization_id: str
    turn: int
    dispatch: int
    try_number: int
    token: str
    worker_id: str
    message_id: str | None = None
    prompt: str | None = None
    message_key: str | None = None
    run_id: str = ""
    started_at: datetime | None = None


class SharedBudget(BaseModel):
    """The budget of an execution that shares it: `limits` are the lowest of its own and of all above it."""

    limits: Limits


class Reserve(BaseModel):
    """A call that is about to be made: what it uses at least, and at most; the same `id` is the same call."""

    organization_id: str = ""
    id: UUID
    model_calls: tuple[int, int] = (0, 0)
    tokens: tuple[int, int] = (0, 0)
    cost_usd: tuple[float, float] = (0.0, 0.0)
    tool_calls: int = 0

    def amounts(self, name: str) -> tuple[float, float]:
        """Of one limit, at least and at most."""
        return (self.tool_calls, self.tool_calls) if name == "tool_calls" else getattr(self, name)

    def most(self) -> dict[str, float]:
        """Of each limit that is counted."""
        return {name: self.amounts(name)[1] for name in ("model_calls", "tool_calls", "tokens", "cost_usd")}


class Reserved(BaseModel):
    """Whether a call may be made; if not, a limit is `exceeded`, or calls of others have what is left meanwhile."""

    is_granted: bool = False
    exceeded: str = ""
    limit: float = 0.0
    is_own: bool = True


class Settle(BaseModel):
    """The usage of a reserved call."""

    organization_id: str
    id: UUID
    usage: Usage


class AttemptOpened(BaseModel):
    """All that a worker needs to run the turn; `closed` is set if the turn has ended already.

    `turn` is the number that its message has, whatever the workflow calls it; `is_other` says that the turn of another
    message has not ended and goes first. `last_try` says that no other attempt follows if this one fails.
    `spent` is what earlier attempts at the turn used, `used` what the whole execution has, within `seconds` of running.
    `steps`, `decisions` and `told` are the turn's journal, its approvals and its messages so far; `offered` is the
    blob that lists the tools which an earlier attempt has offered.
    """

    attempt: int
    session_id: str
    agent: AgentSpec
    turn: int = 0
    is_other: bool = False
    last_try: bool = False
    prompt: str = ""
    history: list[Message] = Field(default_factory=list[Message])
    interactive: bool = False
    spent: Usage = Field(default_factory=Usage)
    used: Usage = Field(default_factory=Usage)
    seconds: float = 0.0
    steps: list[Step] = Field(default_factory=list[Step])
    decisions: list[Decision] = Field(default_factory=list[Decision])
    told: list[str] = Field(default_factory=list[str])
    budget: dict[str, Any] = Field(default_factory=dict[str, Any])
    output_schema: dict[str, Any] | None = None
    workspace: str | None = None
    offered: str | None = None
    shared: SharedBudget | None = None
    closed: TurnOutcome | None = None


class AskSecrets(BaseModel):
    """Ask for the secrets of an attempt that runs."""

    organization_id: str


class SecretsGiven(BaseModel):
    """The secrets that the attempt's agent refers to, by name, as far as there are any; nothing shows their values.

    `broken` says of some why they cannot be opened; `is_own`: the execution is of the organization whose key asks.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    values: dict[str, str] = Field(default_factory=dict[str, str], repr=False)
    broken: dict[str, str] = Field(default_factory=dict[str, str])
    is_own: bool = False


class NewEvent(BaseModel):
    """An event on its way into the log."""

    type: str
    data: dict[str, Any] = Field(default_factory=dict[str, Any])


class Delta(BaseModel):
    """Text of an open message; `offset` counts characters from the message's start.

    `message` numbers the messages of an attempt from 0.
    """

    message: int
    offset: int
    text: str


class AppendEvents(BaseModel):
    """Steps, events and text of a running attempt, in one transaction; the events come before the text.

    `asked` are new approvals, `used` those that were acted upon: each once.

    `batch` numbers the appends of an attempt from 1: a repeated one is recognised.
    """

    organization_id: str
    batch: int
    events: list[NewEvent] = Field(default_factory=list[NewEvent])
    delta: Delta | None = None
    steps: list[Step] = Field(default_factory=list[Step])
    asked: list[ApprovalRequest] = Field(default_factory=list[ApprovalRequest])
    used: list[UUID] = Field(default_factory=list[UUID])


class DecideApproval(BaseModel):
    """A decision that came through Temporal."""

    organization_id: str
    decision: ApprovalDecision


class StartChild(BaseModel):
    """Another agent's execution, asked for by a turn; the same `key` is the same execution."""

    organization_id: str
    key: str
    agent: str
    prompt: str


class ChildState(BaseModel):
    """An execution as the one that started it sees it."""

    id: str
    status: str
    response: str = ""
    output: Any = None
    error: ExecutionError | None = None


class AppendEntries(BaseModel):
    """Entries of a runtime's list, after the `position` that it has already."""

    organization_id: str
    name: str
    position: int
    entries: list[dict[str, Any]]


class CacheResponse(BaseModel):
    """A model's answer, to be kept for other executions of the same agent."""

    organization_id: str
    response: Any
    ttl_seconds: float


class AttemptEnd(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    PREEMPTED = "preempted"
    SUSPENDED = "suspended"
    FAILED = "failed"


class CloseAttempt(BaseModel):
    """End an attempt; with `completed` or `interrupted` also its turn, in one transaction.

    With `failed` the turn ends too where the attempt `ends_turn`: its execution goes on with the next message.
    `usage` is this attempt's alone; `spent` is repeated from its opening.
    """

    organization_id: str
    batch: int
    end: AttemptEnd
    events: list[NewEvent] = Field(default_factory=list[NewEvent])
    response: str = ""
    usage: Usage = Field(default_factory=Usage)
    spent: Usage = Field(default_factory=Usage)
    tool_messages: list[ToolMessage] = Field(default_factory=list[ToolMessage])
    model: str = ""
    finish_reason: FinishReason | None = None
    output: Any = None
    waits: list[str] = Field(default_factory=list[str])
    error: ExecutionError | None = None
    ends_turn: bool = False


class RuntimeAnnouncement(BaseModel):
    """A runtime that a worker can run; `manifest` is the whole of it, for an API that does not have the runtime."""

    name: str
    title: str
    version: str
    capabilities: list[str]
    manifest: dict[str, Any] = Field(default_factory=dict[str, Any])


class ProviderAnnouncement(BaseModel):
    """A provider that a worker can reach: never its key or its address. `models` empty means any name."""

    ready: bool
    models: list[str] = Field(default_factory=list[str])


class AnnounceWorker(BaseModel):
    """A worker's sign of life, every ten seconds.

    `slots` are the turns that it runs and those that it surely has room for. `memory_limit` and `memory_used` are
    bytes of its machine or container. `deployment` and `build_id` are of Temporal's worker versioning, else empty.
    `tool_modules` are the modules whose functions it allows as tools, with all that is below them.
    """

    worker_id: str
    pool: PoolName
    task_queue: str
    kind: Literal["runtime", "workflow"]
    host: str
    pid: int
    version: str
    slots: int
    running: int
    runtimes: list[RuntimeAnnouncement] = Field(default_factory=list[RuntimeAnnouncement])
    providers: dict[str, ProviderAnnouncement] = Field(default_factory=dict[str, ProviderAnnouncement])
    tool_modules: list[str] = Field(default_factory=list[str])
    draining: bool = False
    memory_limit: int = 0
    memory_used: int = 0
    deployment: str = ""
    build_id: str = ""


class WorkerAnnounced(BaseModel):
    """What a worker is told when it announces itself; `drain`: it is to take nothing new and end."""

    drain: bool = False
    installation_id: str = ""


class ControlCommand(BaseModel):
    """What the control plane tells a worker over its control stream."""

    execution_id: str
    attempt: int
    reason: StopReason


#: To a worker, not to one of its turns.
DRAIN = ControlCommand(execution_id="", attempt=0, reason=StopReason.DRAIN)
