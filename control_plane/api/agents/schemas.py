"""Shapes of agents."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictFloat, StrictInt
from pydantic_core import PydanticCustomError

from control_plane.api.problems import ECHO
from control_plane.api.schemas import NextCursor, Notice, Paging, PlainText, Strict
from control_plane.api.turn_settings import Budget, OutputSchema, SessionConcurrency
from runtimes.meant import guess
from runtimes.types import Capability
from services.agent_settings import APPROVAL_SECONDS
from services.model_gateway.policy import CachePolicy, ModelRetries, ModelTimeouts
from services.tools.configuration import (
    TOOLSETS,
    FileSystemToolset,
    McpToolset,
    PythonCodeToolset,
    PythonToolset,
    ShellToolset,
    TaskToolset,
    WebToolset,
)

NAME_RULE = "1 to 63 characters: lower-case letters, digits, '.', '_', '-', beginning with a letter or digit"

EXAMPLE: dict[str, Any] = {
    "name": "support",
    "description": "Answers customers' questions.",
    "runtime": "default",
    "model_id": "openai/gpt-5.4-mini",
    "system_prompt": "You are a friendly support agent.",
    "toolsets": [{"type": "file_system"}],
    "configuration": {"temperature": 0.2, "max_tokens": 1024},
}


NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


def _is_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise PydanticCustomError("name_invalid", "A name has {rule}; for example: support-agent", {"rule": NAME_RULE})
    return name


def _is_no_id(name: str) -> str:
    try:
        UUID(name)
    except ValueError:
        return name
    raise PydanticCustomError("name_is_id", "A name must not look like an id; for example: support-agent")


AgentName = Annotated[
    str,
    AfterValidator(_is_name),
    AfterValidator(_is_no_id),
    Field(description=NAME_RULE, json_schema_extra={"pattern": f"^{NAME.pattern}$"}),
]
RuntimeName = Annotated[str, Field(min_length=1, max_length=63)]
ModelId = Annotated[str, Field(min_length=1, max_length=200, description="`provider/model`")]
Description = Annotated[str, Field(max_length=2000)]
#: A whole or a fractional number, never a text or a truth value.
Number = StrictFloat | StrictInt


def _has_known_type(toolset: Any) -> Any:
    """Said here, because of a union pydantic says neither where its type stands nor what was perhaps meant."""
    if not isinstance(toolset, dict):
        return toolset
    kind = str(cast("dict[str, Any]", toolset).get("type", ""))
    hint = guess(kind, TOOLSETS)
    if "type" not in toolset:
        raise PydanticCustomError("field_missing", "The type is missing.", {"name": "type", "hint": hint})
    if kind not in TOOLSETS:
        message = "There is no toolset of type '{kind}'."
        context = {"name": "type", "kind": kind[:ECHO], "hint": hint}
        raise PydanticCustomError("toolset_unknown", message, context)
    return cast("Any", toolset)


Toolset = Annotated[
    FileSystemToolset | McpToolset | PythonToolset | PythonCodeToolset | ShellToolset | TaskToolset | WebToolset,
    Field(discriminator="type"),
    BeforeValidator(_has_known_type),
]


def _once_each(toolsets: list[Toolset]) -> list[Toolset]:
    names = [name for toolset in toolsets for name in toolset.names()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PydanticCustomError("tool_twice", "Two of the tools are called '{tool}'.", {"tool": twice})
    return toolsets


Toolsets = Annotated[list[Toolset], Field(max_length=64), AfterValidator(_once_each)]


class Timeouts(ModelTimeouts, Strict):
    """How long a provider may be silent; an answer that is not streamed is silent until it is whole."""


class Retries(ModelRetries, Strict):
    """How often a model is tried in one call, and how long the waits between may be together."""


class Cache(CachePolicy, Strict):
    """Answer a request that is exactly like an earlier one of this version of the agent without the model."""


class Configuration(Strict):
    """Parameters of the model, settings of the runtime, and what happens at limits and to lost calls."""

    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[StrictInt, Field(ge=1)] | None = None
    stop: Annotated[list[str], Field(max_length=16)] | str | None = None
    seed: StrictInt | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    runtime_config: dict[str, Any] = Field(default_factory=dict[str, Any])
    budget: Budget = Field(default_factory=Budget)
    on_budget: Annotated[Literal["stop", "pause"], Field(description="`pause` asks to raise the limit.")] = "stop"
    on_outcome_unknown: Annotated[
        Literal["tell_model", "ask_human"],
        Field(description="When a call that may not be repeated was cut off before its result was there."),
    ] = "tell_model"
    approval_timeout_seconds: Annotated[Number, Field(gt=0, le=366 * 24 * 3600)] = APPROVAL_SECONDS
    output_schema: OutputSchema | None = None
    requires: Annotated[
        list[Capability],
        Field(max_length=32, description="What its runtime must be able to do, beside what is seen from its tools."),
    ] = Field(default_factory=list[Capability])
    model_fallbacks: Annotated[list[ModelId], Field(max_length=10)] = Field(default_factory=list[str])
    model_timeouts: Timeouts = Field(default_factory=Timeouts)
    model_retries: Retries = Field(default_factory=Retries)
    response_cache: Cache | None = None
    session_concurrency: SessionConcurrency = "queue"


class CreateAgent(Strict):
    """A new agent."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: AgentName
    description: Description = ""
    template: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None, description="Where what is left out here comes from."
    )
    runtime: RuntimeName | None = Field(None, description="Left out, the resolver decides at each execution.")
    model_id: ModelId | None = Field(None, description="`provider/model`; needed unless the template has one.")
    system_prompt: str = ""
    toolsets: Toolsets = Field(default_factory=list[Toolset])
    configuration: Configuration = Field(default_factory=Configuration)


class UpdateAgent(Strict):
    """The fields to replace, each as a whole; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"runtime": "scripted", "description": "A test."}]})

    name: AgentName = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    runtime: RuntimeName | None = Field(None, description="Null leaves it to the resolver, at each execution.")
    model_id: ModelId = Field(default_factory=str)
    system_prompt: str = Field(default_factory=str)
    toolsets: Toolsets = Field(default_factory=list[Toolset])
    configuration: Configuration = Field(default_factory=Configuration)


class Agent(BaseModel):
    """An agent as it is now."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    description: str
    template: str | None
    runtime: str | None
    model_id: str
    system_prompt: str
    toolsets: list[dict[str, Any]]
    configuration: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime
    warnings: list[Notice] = Field(default_factory=list[Notice])


class AgentPage(BaseModel):
    """Agents, newest first."""

    items: list[Agent]
    next_cursor: NextCursor


class ListAgents(Paging):
    """Which agents to list."""

    runtime: Annotated[PlainText, Field(max_length=63)] | None = None
