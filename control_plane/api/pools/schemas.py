"""Shapes of worker pools."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from control_plane.api.schemas import PlainText, Strict


class PoolRuntime(BaseModel):
    """A runtime as a worker has it; `version` is the framework's."""

    name: str
    version: str
    capabilities: list[str]


class PoolWorker(BaseModel):
    """A worker as it last announced itself; `memory_limit` and `memory_used` are bytes of its machine or container.

    `slots` are the turns that it runs and those that it surely has room for. `host` and `pid` are told to those whose
    worker it is.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    host: str | None
    pid: int | None
    version: str
    deployment: str
    build_id: str
    slots: int
    running: int
    memory_limit: int
    memory_used: int
    runtimes: list[PoolRuntime]
    draining: bool
    drain_requested_at: datetime | None
    drain_requested_by: str | None
    started_at: datetime
    seen_at: datetime


class WorkerPool(BaseModel):
    """The workers of one task queue; `slots` and `running` are summed, `draining` workers take nothing new."""

    pool: str
    task_queue: str
    kind: str
    workers: int
    slots: int
    running: int
    runtimes: list[str]
    build_ids: list[str]
    draining: int
    seen_at: datetime


class WorkerPoolList(BaseModel):
    items: list[WorkerPool]


class WorkerPoolDetail(WorkerPool):
    """A pool with each of its workers."""

    live_workers: list[PoolWorker]


class DrainPool(Strict):
    """Which workers of a pool are to end."""

    build_id: Annotated[PlainText, Field(max_length=200, description="Only those of this build.")] | None = None
