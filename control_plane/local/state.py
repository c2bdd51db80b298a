"""The state file of a local stack: what runs, where, since when."""

import os
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from control_plane.local.directory import DataDirectory


class StackPhase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class ProcessPhase(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class ProcessIdentity(BaseModel):
    """A process for sure: its number and when it was created (seconds since the epoch)."""

    pid: int
    created: float


class ProcessState(BaseModel):
    """One process of the stack; `address` is a URL or a path."""

    name: str
    title: str
    phase: ProcessPhase = ProcessPhase.STARTING
    identity: ProcessIdentity | None = None
    address: str = ""
    log: str = ""
    restarts: int = 0


class Ports(BaseModel):
    """TCP ports on loopback; those of `HIDDEN` are for the stack itself."""

    api: int
    temporal: int
    temporal_ui: int
    temporal_http: int
    temporal_metrics: int
    temporal_ui_hidden: int = 0
    model: int


class StackState(BaseModel):
    """All that another process needs to find the stack; `demo` is the agent that is there to be tried."""

    phase: StackPhase
    supervisor: ProcessIdentity
    started_at: datetime
    ports: Ports
    api_url: str
    temporal_address: str
    temporal_ui_url: str
    database_url: str
    model_url: str | None = None
    demo: str | None = None
    processes: list[ProcessState] = Field(default_factory=list[ProcessState])


def read_state(path: Path) -> StackState | None:
    """The state as last written; None if there is none or it cannot be read."""
    try:
        return StackState.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def running_stack(directory: DataDirectory) -> StackState | None:
    """The state of the stack whose supervisor is alive; not what an earlier one left to a later one."""
    state = read_state(directory.state)
    return state if state is not None and state.supervisor.pid == directory.holder() else None


def write_state(path: Path, state: StackState) -> None:
    """Replace the state file in one step: a reader sees the old one or the new one."""
    replace_file(path, state.model_dump_json(indent=2).encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a private file (mode 0600) in one step that survives a power cut."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
