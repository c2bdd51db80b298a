"""Shapes of runtimes."""

from typing import Any

from pydantic import BaseModel, Field


class Runtime(BaseModel):
    """A runtime that agents may name; `live`: a worker that runs it was seen just now.

    `versions` are those of `package` that the adapter was made for. `installed_version` is the one beside the API,
    empty if there is none; `installed_versions` are those of live workers, `unsupported_versions` the ones of both
    that it was not made for. `settings` are JSON schemas of an agent's `runtime_config`, by name.
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


class RuntimeList(BaseModel):
    """Runtimes by name; `broken` is for the operator's keys only."""

    items: list[Runtime]
    broken: list[BrokenPlugin] = Field(default_factory=list[BrokenPlugin])
