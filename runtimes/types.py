"""What passes between the executor and a runtime: contexts, events, results, usage."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from runtimes.sandbox.command_line import Limits


class RuntimeType(StrEnum):
    """The runtimes that Holdfast itself ships; plugins add names of their own."""

    DEFAULT = "default"
    CLAUDE_CODE = "claude_code"
    NATIVE = "native"
    LANGGRAPH = "langgraph"
    OPENAI_AGENTS = "openai_agents"
    CREWAI = "crewai"
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


class Effect(StrEnum):
    """What running a tool's call once more would do: nothing, nothing new, or the same thing a second time."""

    READ_ONLY = "read_only"
    IDEMPOTENT = "idempotent"
    AT_MOST_ONCE = "at_most_once"


class Usage(BaseModel):
    """Tokens and calls of a turn; `input_tokens` includes cached ones, on every wire.

    `cost_usd` is None as soon as one call's cost is not known: then the sum is not known either, but it is
    `known_cost_usd` at least. A call of which is not known what it used counts in limits as the most that was reserved
    for it: `reserved_tokens` and `reserved_cost_usd`, which is None where there is no price.
    """

    model_config = ConfigDict(frozen=True)

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    model_calls: int = 0
    tool_calls: int = 0
    cost_usd: float | None = 0.0
    known_cost_usd: float = 0.0
    reserved_tokens: int = 0
    reserved_cost_usd: float | None = 0.0

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """A cost alone says what is known of it; rows from before the last three fields have nothing else."""
        if not isinstance(given, dict) or "known_cost_usd" in given:
            return given  # pyright: ignore[reportUnknownVariableType]
        values = cast("dict[str, Any]", given)
        cost = values.get("cost_usd", 0.0)
        return {"reserved_cost_usd": None if cost is None else 0.0, **values, "known_cost_usd": cost or 0.0}

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = self.model_dump(), other.model_dump()
        return Usage.model_validate({name: _sum(mine[name], theirs[name]) for name in mine})


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one + other, 10)


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


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gives back to the model."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a runtime sees it.

    What `call` runs is what the model wrote, as its answer in the journal has it. It is found by the call's id; else by
    name and arguments; else by name, if one such call is open; else in order.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: "CallTool"


class CallTool(Protocol):
    """Calls a tool; it never raises for a tool's own errors."""

    def __call__(
        self, tool_call_id: str | None, arguments: Mapping[str, Any] | str, *, from_model: bool = True
    ) -> Awaitable[ToolResult]:
        """Take the call's id where the framework tells it, and the arguments as the framework has them.

        What runs is the call as the model wrote it. `from_model` is false for calls that code makes by itself.
        """
        ...


class OwnCall(NamedTuple):
    """A call of a tool that a framework runs itself."""

    id: str
    name: str
    arguments: Mapping[str, Any]


class OwnTools(Protocol):
    """The journal of tools that a framework runs itself, such as Claude Code's Bash."""

    async def begin(
        self, tool_call_id: str, name: str, arguments: Mapping[str, Any], *, beside: Sequence[OwnCall] = ()
    ) -> ToolResult | None:
        """Claim a call before it is run. A result means: do not run it, this is what it came to.

        Does not return where a human has to decide first: the turn is stopped meanwhile. `beside` are the other calls
        of the same answer: a human is asked about all of them at once.
        """
        ...

    async def end(self, tool_call_id: str, result: ToolResult) -> None:
        """Commit what a call came to, before the model sees it."""
        ...


class TurnStore(Protocol):
    """Entries that a runtime keeps for one turn: they survive the worker, and later attempts read them back."""

    async def load(self, name: str) -> list[dict[str, Any]]:
        """All entries of a list, in order; empty if there is none."""
        ...

    async def append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        """Add JSON objects to a list; they are stored when this returns.

        Raises:
            AttemptFenced: a newer attempt has taken over.
        """
        ...


@dataclass(frozen=True, slots=True)
class RuntimeExecutionContext:
    """All that a runtime gets for one turn; it reads nothing else, no environment either.

    `model` is the model gateway's address on this machine, with a token of this attempt: the gateway retries,
    replays, counts and prices. `told` are the messages of this turn that readers have from earlier attempts.
    `toolsets` are the agent's own words, for runtimes whose framework brings tools of that kind; those calls go
    through `own_tools`. `modules` are what the worker allows to be imported by path, `network` whether it allows
    commands of the agent onto its network, `most` what they may use up at the most.
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
    told: Sequence[str] = ()
    output_schema: Mapping[str, Any] | None = None
    toolsets: Sequence[Mapping[str, Any]] = ()
    modules: Sequence[str] = ()
    network: bool = False
    most: "Limits | None" = None
    own_tools: OwnTools | None = None
    store: TurnStore | None = None


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

    `response` is the text of the final assistant message: what followed the last tool call. `output` is the
    structured output where the framework gives it apart from the text.
    """

    response: str
    finish_reason: FinishReason = FinishReason.STOP
    output: Any = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The first event of a turn that goes on inside the framework where the last attempt stopped.

    What follows is text that is not in `told`. Without it the turn runs again from its start, out of the journal.
    """


RuntimeEvent = Resumed | TextDelta | ToolCallStarted | ToolCallCompleted | TurnFinished


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
