"""Runtimes that were added to a local stack: each has an environment of its own, and a record that wants its pool."""

import os
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from control_plane.local.directory import DataDirectory
from control_plane.local.state import replace_file

#: The record's file; a runtime without one is none that is wanted.
RECORD = "runtime.json"
#: What becomes of the record while the runtime is taken away.
REMOVED = "removed.json"


class AddedRuntime(BaseModel):
    """One runtime; `environment` is the directory of its Python, `source` what a plugin was installed from."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    environment: Path
    holdfast: str
    source: str | None = None

    @property
    def command(self) -> Path:
        """The `holdfast` of its environment."""
        return self.environment / "bin" / "holdfast"

    @property
    def process(self) -> str:
        """What its pool is called among the stack's processes."""
        return f"pool-{self.name}"


def added_runtimes(directory: DataDirectory) -> list[AddedRuntime]:
    """All that are wanted, by name; a record that cannot be read is none."""
    records = sorted(directory.runtimes.glob(f"*/{RECORD}"))
    return [found for record in records if (found := _read(record)) is not None]


def added_runtime(directory: DataDirectory, name: str) -> AddedRuntime | None:
    """One of them."""
    return next((each for each in added_runtimes(directory) if each.name == name), None)


def leaving_runtime(directory: DataDirectory, name: str) -> AddedRuntime | None:
    """One that is no longer wanted, and whose environment is still there."""
    return next(
        (found for path in directory.runtimes.glob(f"*/{REMOVED}") if (found := _read(path)) and found.name == name),
        None,
    )


def want(directory: DataDirectory, runtime: AddedRuntime) -> None:
    """Write a record: the stack starts the runtime's pool, now and whenever it comes up."""
    place = directory.runtime(runtime.name)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(place / RECORD, runtime.model_dump_json(indent=2).encode())
    (place / REMOVED).unlink(missing_ok=True)


def forget(directory: DataDirectory, name: str) -> None:
    """Take a record away: the stack drains the runtime's pool."""
    for record in (RECORD, REMOVED):
        (directory.runtime(name) / record).unlink(missing_ok=True)


def release(directory: DataDirectory, name: str) -> None:
    """The same, but what is left of the runtime can still be found by its name."""
    place = directory.runtime(name)
    with suppress(FileNotFoundError):
        os.replace(place / RECORD, place / REMOVED)


def _read(record: Path) -> AddedRuntime | None:
    try:
        return AddedRuntime.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None
