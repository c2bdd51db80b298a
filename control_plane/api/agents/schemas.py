"""Shapes of agents."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat, StrictInt
from pydantic_core import PydanticCustomError

from control_plane.api.schemas import NextCursor, Notice, Paging, Strict

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


def _no_uuid(name: str) -> str:
    try:
        UUID(name)
    except ValueError:
        return name
    raise PydanticCustomError("name_is_id", "A name must not look like an id; for example: support-agent")


AgentName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", min_length=1, max_length=63, description=NAME_RULE),
    AfterValidator(_no_uuid),
]
RuntimeName = Annotated[str, Field(min_length=1, max_length=63)]
ModelId = Annotated[str, Field(min_length=1, max_length=200, description="`provider/model`")]
Description = Annotated[str, Field(max_length=2000)]
#: A whole or a fractional number, never a text or a truth value.
Number = StrictFloat | StrictInt


class Toolset(BaseModel):
    """A set of tools; what else it takes depends on its type."""

    model_config = ConfigDict(extra="allow")

    type: Literal["python", "file_system"]


Toolsets = Annotated[list[Toolset], Field(max_length=64)]


class Configuration(Strict):
    """Parameters of the model, and settings of the runtime."""

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


class CreateAgent(Strict):
    """A new agent."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: AgentName
    description: Description = ""
    runtime: RuntimeName = "default"
    model_id: ModelId
    system_prompt: str = ""
    toolsets: Toolsets = Field(default_factory=list[Toolset])
    configuration: Configuration = Field(default_factory=Configuration)


class UpdateAgent(Strict):
    """The fields to replace, each as a whole; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"runtime": "scripted", "description": "A test."}]})

    name: AgentName = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    runtime: RuntimeName = Field(default_factory=str)
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
    runtime: str
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

    runtime: str | None = Field(default=None, max_length=63)
