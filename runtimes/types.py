"""What passes between the executor and a runtime: contexts, events, results, usage."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class RuntimeType(StrEnum):
    """The runtimes that Holdfast itself ships; plugins add names of their own."""

    DEFAULT = "default"
    SCRIPTED = "scripted"


class Capability(StrEnum):
    """What a runtime can do."""

    STREAMING = "streaming"
    TOOLS = "tools"
    MCP = "mcp"
    MEMORY = "memory"
    MULTI_AGENT = "multi_agent"
    PLANNING = "planning"
    CODE_EXECUTION = "code_execution"
    STRUCTURED_OUTPUT = "structured_output"
    HITL = "hitl"
    RESUME = "resume"
    VISION = "vision"


class Wire(StrEnum):
    """The HTTP protocol that a model endpoint speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class FinishReason(StrEnum):
    """Why a turn's last message ended."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_LIMIT = "tool_limit"
    INTERRUPTED = "interrupted"


class Usage(BaseModel):
    """Tokens and calls of a turn; `input_tokens` includes cached ones, on every wire."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = self.model_dump(), other.model_dump()
        return Usage(**{name: mine[name] + theirs[name] for name in mine})


class Message(BaseModel):
    """One message of a session's history."""

    role: Literal["user", "assistant"]
    content: str


class ToolMessage(BaseModel):
    """A tool call as the result of an execution reports it; texts are shortened."""

    tool_call_id: str
    name: str
    arguments: str
    result: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """Where a runtime sends its model calls: all it ever learns about a provider."""

    base_url: str
    api_key: str = field(repr=False)
    wire: Wire
    model: str
    provider: str


@dataclass(slots=True)
class ModelCalls:
    """The account of a turn's model calls, kept while they are made: what is known of a turn that is cut off.

    A call counts from its beginning, whatever becomes of it; its tokens as far as the provider told them.
    """

    usage: Usage = field(default_factory=Usage)
    model: str = ""

    def begin(self, model: str) -> None:
        """A model is called now."""
        self.usage += Usage(model_calls=1)
        self.model = self.model or model

    def end(self, used: Usage, model: str = "") -> None:
        """The call has ended, well or not; `model` is who answered, where that is known."""
        self.usage += used
        self.model = model or self.model


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gives back to the model."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a runtime sees it; `call` never raises for a tool's own errors.

    `call(tool_call_id, arguments)` takes the arguments as the model wrote them, decoded from JSON, or
    the raw text where it is no JSON object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[str, Mapping[str, Any] | str], Awaitable[ToolResult]]


@dataclass(frozen=True, slots=True)
class RuntimeExecutionContext:
    """All that a runtime gets for one turn; it reads nothing else, no environment either.

    It writes to `model_calls` only: when a call begins, and when it ends.
    """

    execution_id: str
    organization_id: str
    agent_id: str
    session_id: str
    turn: int
    attempt: int
    prompt: str
    model: ModelEndpoint
    workspace: Path
    system_prompt: str = ""
    history: Sequence[Message] = ()
    tools: Sequence[Tool] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict[str, Any])
    streaming: bool = True
    model_calls: ModelCalls = field(default_factory=ModelCalls)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the assistant's text, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call begins. Adapters emit it only for tools that did not come from the context."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallCompleted:
    """A tool call ended, well or not."""

    tool_call_id: str
    name: str
    result: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The last event of every turn.

    `response` is the text of the final assistant message: what followed the last tool call.
    """

    response: str
    finish_reason: FinishReason = FinishReason.STOP


RuntimeEvent = TextDelta | ToolCallStarted | ToolCallCompleted | TurnFinished


class ExecutionError(BaseModel):
    """An error in the shape that API, CLI and workflow failures share."""

    code: str
    message: str
    hint: str = ""
    retryable: bool = False


class RuntimeExecutionResult(BaseModel):
    """The standard result of a turn, whatever the runtime."""

    success: bool
    response: str = ""
    usage: Usage = Field(default_factory=Usage)
    tool_messages: list[ToolMessage] = Field(default_factory=list[ToolMessage])
    model: str = ""
    runtime: str = ""
    finish_reason: FinishReason | None = None
    error: ExecutionError | None = None
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
