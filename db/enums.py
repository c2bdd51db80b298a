"""Values of the status columns; kept by check constraints."""

from enum import StrEnum


class ExecutionStatus(StrEnum):
    """`waiting`: for a message between two turns, or for decisions or other executions in the middle of one.

    `waiting_for_pool`: no live pool could run its first turn. `waiting_for_session`: its session had another execution.
    """

    WAITING_FOR_SESSION = "waiting_for_session"
    WAITING_FOR_POOL = "waiting_for_pool"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


#: States that an execution never leaves.
TERMINAL = frozenset(
    {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED, ExecutionStatus.TIMED_OUT}
)
#: The same as SQL writes them: `status IN ({ENDED})`.
ENDED = ", ".join(f"'{status}'" for status in sorted(TERMINAL))


class TurnState(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class AttemptState(StrEnum):
    """`lost`: a newer attempt took over before this one said how it ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    PREEMPTED = "preempted"
    SUSPENDED = "suspended"
    FAILED = "failed"
    LOST = "lost"


class StepKind(StrEnum):
    MODEL_CALL = "model_call"
    TOOL_CALL = "tool_call"


class StepStatus(StrEnum):
    CLAIMED = "claimed"
    DONE = "done"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ApprovalKind(StrEnum):
    TOOL_CALL = "tool_call"
    OUTCOME_UNKNOWN = "outcome_unknown"
    BUDGET = "budget"


class ApprovalStatus(StrEnum):
    """`withdrawn`: its turn ended without it."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class MessageRole(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"


class AgentType(StrEnum):
    CONVERSATION = "conversation"
    TASK = "task"
    CUSTOM = "custom"


class Source(StrEnum):
    """Who started an execution: our API, or a Temporal client."""

    API = "api"
    TEMPORAL = "temporal"


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    WORKER = "worker"
