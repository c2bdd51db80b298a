"""Shapes of runtimes."""

from typing import Any

from pydantic import BaseModel


class Runtime(BaseModel):
    """A runtime that agents may name; `live`: a worker that runs it was seen just now."""

    name: str
    title: str
    package: str
    versions: str
    extra: str
    capabilities: list[str]
    wires: list[str]
    settings: dict[str, dict[str, Any]]
    live: bool
    workers: int
    installed_versions: list[str]
    pools: list[str]


class RuntimeList(BaseModel):
    items: list[Runtime]
