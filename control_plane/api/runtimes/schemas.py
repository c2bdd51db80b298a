"""Shapes of runtimes and worker pools."""

from datetime import datetime
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


class WorkerPool(BaseModel):
    """The workers of one task queue; `slots` and `running` are summed, `draining` workers take nothing new."""

    pool: str
    task_queue: str
    kind: str
    workers: int
    slots: int
    running: int
    runtimes: list[str]
    draining: int
    seen_at: datetime


class WorkerPoolList(BaseModel):
    items: list[WorkerPool]
