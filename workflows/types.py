"""Input, state and result of `AgentExecutionWorkflow`: plain JSON that any client can write."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runtimes.turns import Admission, TurnOutcome
from runtimes.types import ExecutionError, FinishReason, ToolMessage, Usage


class QueuedMessage(BaseModel):
    """A user message that waits for its turn: by reference, or inline from a Temporal client."""

    message_id: str | None = None
    content: str | None = None


class AgentExecutionInput(BaseModel):
    """What starts an execution; `{"agent_id": "...", "prompt": "..."}` is enough.

    The state is the input: the fields from `admission` on are the workflow's own, carried over
    continue-as-new.
    """

    model_config = ConfigDict(extra="ignore")

    agent_id: str
    prompt: str | None = None
    execution_id: str | None = None
    session_id: str | None = None
    runtime: str | None = None
    organization_id: str | None = None
    interactive: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])

    admission: Admission | None = None
    turn: int = 0
    pending: list[QueuedMessage] = Field(default_factory=list[QueuedMessage])
    closing: bool = False
    usage: Usage = Field(default_factory=Usage)
    last: TurnOutcome | None = None


class AgentExecutionResult(BaseModel):
    """What an execution came to; long texts are cut, the whole ones are in the database."""

    success: bool
    execution_id: str
    session_id: str
    response: str = ""
    usage: Usage = Field(default_factory=Usage)
    tool_messages: list[ToolMessage] = Field(default_factory=list[ToolMessage])
    model: str = ""
    runtime: str = ""
    finish_reason: FinishReason | None = None
    error: ExecutionError | None = None
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])


class ExecutionState(BaseModel):
    """The answer of the query `state`."""

    execution_id: str
    turn: int
    running: bool
    queued_messages: int
    closing: bool
