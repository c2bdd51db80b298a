"""Shapes of runtimes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.api.agents.schemas import AgentName, CreateAgent
from control_plane.api.schemas import Strict


class Runtime(BaseModel):
    """A runtime that agents may name; `live`: a worker that runs it was seen just now.

    `versions` are those of `package` that the adapter was made for. `installed_version` is the one beside the API,
    empty if there is none; `installed_versions` are those of live workers, `unsupported_versions` the ones of both
    that it was not made for: a worker's by its own manifest. `settings` are JSON schemas of an agent's
    `runtime_config`, by name; `environment` is set in the worker before the framework is imported.
    """

    name: str
    title: str
    origin: str
    requirement: str
    package: str
    versions: str
    python: str
    contract: int
    extra: str
    capabilities: list[str]
    wires: list[str]
    templates: list[str]
    weight: int
    settings: dict[str, dict[str, Any]]
    environment: dict[str, str]
    memory_mb: int | None
    slots: int | None
    installed_version: str
    installed_versions: list[str]
    unsupported_versions: list[str]
    live: bool
    workers: int
    pools: list[str]


class BrokenPlugin(BaseModel):
    """A plugin beside the API that cannot be used."""

    name: str
    origin: str
    reason: str
    hint: str


class AgentDraft(CreateAgent):
    """An agent's definition, as far as it goes."""

    name: AgentName = "draft"


class ResolveRuntime(Strict):
    """Asks which runtime an agent would get: a stored one, by id or by name, or one that is not stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"agent_id": "demo"}]})

    agent_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    agent: AgentDraft | None = None

    @property
    def draft(self) -> AgentDraft:
        """The definition that came with the question."""
        return self.agent or AgentDraft.model_validate({})

    @model_validator(mode="after")
    def _names_one(self) -> "ResolveRuntime":
        if (self.agent_id is None) is (self.agent is None):
            message = "Give either the id or the name of a stored agent, or a definition as `agent`."
            raise PydanticCustomError("agent_unclear", message)
        return self


class RuntimeList(BaseModel):
    """Runtimes by name; `broken` is for the operator's keys only."""

    items: list[Runtime]
    broken: list[BrokenPlugin] = Field(default_factory=list[BrokenPlugin])
