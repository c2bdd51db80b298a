"""Pools of added runtimes, as a supervisor keeps them: each by itself, whatever becomes of another."""

import asyncio
import io
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.local.added import AddedRuntime, added_runtimes, forget, want
from control_plane.local.child import Child, Service
from control_plane.local.directory import DataDirectory
from control_plane.local.environments import ChangeRefused
from control_plane.local.pools import PoolKeeper
from control_plane.local.processes import identify
from control_plane.local.progress import Progress
from control_plane.local.runtime_changes import RuntimeChanges
from control_plane.local.state import Ports, ProcessPhase, ProcessState, StackPhase, StackState, write_state

#: Seconds that something may take that takes none on a machine at rest.
PATIENCE = 60.0
SLEEPER = "#!/bin/sh\nexec sleep 600\n"


@dataclass
class Kept:
    """A keeper at work in a data directory."""

    directory: DataDirectory
    said: io.StringIO = field(default_factory=io.StringIO)
    children: list[Child] = field(default_factory=list[Child])

    def want(self, name: str) -> AddedRuntime:
        """Add a runtime whose pool is a small process; one called `stuck` never gets ready."""
        environment = self.directory.runtime(name) / "env"
        command = environment / "bin" / "holdfast"
        command.parent.mkdir(parents=True, exist_ok=True)
        command.write_text(SLEEPER)
        command.chmod(0o755)
        runtime = AddedRuntime(name=name, title=name, environment=environment, holdfast="0.1.0")
        want(self.directory, runtime)
        return runtime

    def service(self, runtime: AddedRuntime) -> Service:
        async def ready(pid: int, started_at: datetime) -> bool:
            return runtime.name != "stuck"

        log = self.directory.log(runtime.process)
        return Service(runtime.process, runtime.title, (str(runtime.command),), dict(os.environ), log, ready)

    def phases(self) -> dict[str, ProcessPhase]:
        return {child.state.name: child.state.phase for child in self.children}

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def keeping(root: Path) -> AsyncGenerator[Kept]:
    directory = DataDirectory(root)
    directory.prepare()
    kept = Kept(directory)
    keeper = PoolKeeper(directory, kept.service, kept.children, Progress(kept.said), lambda: None)
    task = asyncio.create_task(keeper.keep())
    try:
        yield kept
    finally:
        task.cancel()
        await asyncio.wait({task})
        for child in list(kept.children):
            await child.stop()


async def test_a_pool_that_never_gets_ready_keeps_no_other_one_waiting(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data") as kept:
        kept.want("stuck")
        await kept.until(lambda: "pool-stuck" in kept.phases())
        kept.want("prompt")
        await kept.until(lambda: kept.phases().get("pool-prompt") is ProcessPhase.READY)
        assert kept.phases()["pool-stuck"] is ProcessPhase.STARTING

        forget(kept.directory, "stuck")
        await kept.until(lambda: kept.phases() == {"pool-prompt": ProcessPhase.READY})


async def test_an_environment_that_was_deleted_by_hand_may_come_back(tmp_path: Path) -> None:
    async with keeping(tmp_path / "data") as kept:
        runtime = kept.want("lost")
        await kept.until(lambda: kept.phases().get("pool-lost") is ProcessPhase.READY)
        (child,) = kept.children

        runtime.command.unlink()
        child.kill()
        await kept.until(lambda: "cannot be started" in kept.said.getvalue())
        kept.want("lost")

        await kept.until(lambda: child.state.restarts > 0 and child.state.phase is ProcessPhase.READY)


def running(directory: DataDirectory, *processes: ProcessState) -> None:
    """The state of a stack whose supervisor is this process."""
    supervisor = identify(os.getpid())
    assert supervisor is not None
    ports = Ports(api=1, temporal=2, temporal_ui=3, temporal_http=4, temporal_metrics=5, model=6)
    state = StackState(
        phase=StackPhase.RUNNING,
        supervisor=supervisor,
        started_at=datetime.now(UTC),
        ports=ports,
        api_url="",
        temporal_address="",
        temporal_ui_url="",
        database_url="",
        processes=list(processes),
    )
    write_state(directory.state, state)


def test_a_pool_that_does_not_end_is_not_called_removed(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    runtime = Kept(directory).want("stubborn")
    changes = RuntimeChanges(directory, print, stop_seconds=0.1)

    with directory.held():
        running(directory, ProcessState(name=runtime.process, title="stubborn"))
        with pytest.raises(ChangeRefused, match=r"still runs after 0 s") as refused:
            changes.remove("stubborn")
        assert runtime.command.exists()
        assert added_runtimes(directory) == []

        running(directory)
        assert changes.remove("stubborn") == runtime

    assert refused.value.code == "pool_not_stopped"
    assert not directory.runtime("stubborn").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [("../../etc", "is no name of a runtime"), ("Upper", "is no name of a runtime"), ("crewai", "comes with Holdfast")],
)
def test_a_plugins_runtime_has_a_name_that_can_be_one(tmp_path: Path, name: str, told: str) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()

    with directory.held():
        running(directory)
        with pytest.raises(ChangeRefused, match=told) as refused:
            RuntimeChanges(directory, print).add(name, "somewhere")

    assert refused.value.code == "runtime_not_addable"
    assert not directory.runtimes.exists()


def test_two_do_not_change_one_runtime_at_once(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    Kept(directory).want("contested")
    told: list[ChangeRefused] = []

    def meanwhile(_: str) -> None:
        with pytest.raises(ChangeRefused) as refused:
            RuntimeChanges(directory, print).remove("contested")
        told.append(refused.value)

    with directory.held():
        running(directory)
        with pytest.raises(ChangeRefused):
            RuntimeChanges(directory, meanwhile).add("contested", str(tmp_path / "nothing"))

    assert {refused.code for refused in told} == {"change_in_progress"}


def test_a_python_that_the_runtime_cannot_have_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    monkeypatch.setattr("platform.python_version", lambda: "3.14.0")

    with directory.held():
        running(directory)
        with pytest.raises(ChangeRefused, match=r"needs Python .*; this is Python 3\.14\.0") as refused:
            RuntimeChanges(directory, print).add("crewai", None)

    assert refused.value.code == "python_unsupported"
    assert not directory.runtimes.exists()
