"""Shapes of templates."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from control_plane.api.agents.schemas import (
    AgentName,
    Configuration,
    Description,
    ModelId,
    RuntimeName,
    Toolset,
    Toolsets,
)
from control_plane.api.schemas import NextCursor, Notice, Paging, Strict
from runtimes.templates import AgentType
from runtimes.types import Capability

EXAMPLE: dict[str, Any] = {
    "name": "order-desk",
    "title": "Order desk",
    "description": "Answers questions about orders.",
    "type": "conversation",
    "preferred_runtimes": ["native", "default"],
    "required_capabilities": ["streaming", "tools"],
    "defaults": {
        "model_id": "openai/gpt-5.4-mini",
        "system_prompt": "You answer questions about orders.",
        "toolsets": [{"type": "file_system"}],
        "configuration": {"temperature": 0.2},
    },
}

Title = Annotated[str, Field(max_length=200)]
Runtimes = Annotated[list[RuntimeName], Field(max_length=32, description="The best one first.")]
Capabilities = Annotated[list[Capability], Field(max_length=32, description="What a runtime must be able to do.")]


class Defaults(Strict):
    """What an agent begins with that does not say it itself."""

    model_id: ModelId | None = None
    system_prompt: str = ""
    toolsets: Toolsets = Field(default_factory=list[Toolset])
    configuration: Configuration = Field(default_factory=Configuration)


class CreateTemplate(Strict):
    """A new template."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: AgentName
    title: Title = ""
    description: Description = ""
    type: Annotated[AgentType, Field(description="Behind it stands the template `generic-<type>`.")]
    preferred_runtimes: Runtimes = Field(default_factory=list[str])
    required_capabilities: Capabilities = Field(default_factory=list[Capability])
    defaults: Defaults = Field(default_factory=Defaults)


class UpdateTemplate(Strict):
    """The fields to replace, each as a whole; the others stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"preferred_runtimes": ["native"]}]})

    title: Title = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    type: AgentType = Field(default_factory=lambda: AgentType.CUSTOM)
    preferred_runtimes: Runtimes = Field(default_factory=list[str])
    required_capabilities: Capabilities = Field(default_factory=list[Capability])
    defaults: Defaults = Field(default_factory=Defaults)


class Template(BaseModel):
    """A template as it is now; one that is built in has no moments, and nobody changes it."""

    name: str
    title: str
    description: str
    type: AgentType
    preferred_runtimes: list[str]
    required_capabilities: list[str]
    defaults: dict[str, Any]
    built_in: bool
    created_at: datetime | None = None
    updated_at: datetime | None = None
    warnings: list[Notice] = Field(default_factory=list[Notice])


class TemplatePage(BaseModel):
    """Templates by name."""

    items: list[Template]
    next_cursor: NextCursor


class ListTemplates(Paging):
    """Which templates to list."""

    type: AgentType | None = None
