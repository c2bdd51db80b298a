"""What a start does about what an earlier stack left behind, and in which order a stack stops."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.local.child import Child, Service
from control_plane.local.directory import DataDirectory
from control_plane.local.ports import USUAL
from control_plane.local.processes import identify
from control_plane.local.progress import Progress
from control_plane.local.stack import stop_stack
from control_plane.local.state import (
    ProcessIdentity,
    ProcessState,
    StackPhase,
    StackState,
    running_stack,
    write_state,
)
from control_plane.local.supervisor import end_leftovers, stop_order


@pytest.fixture
def left_behind() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process
        process.kill()


def _state(identity: ProcessIdentity | None) -> StackState:
    return StackState(
        phase=StackPhase.RUNNING,
        supervisor=ProcessIdentity(pid=os.getpid(), created=1.0),
        started_at=datetime.now(UTC),
        ports=USUAL,
        api_url="http://127.0.0.1:8080",
        temporal_address="127.0.0.1:7233",
        temporal_ui_url="http://127.0.0.1:8233",
        database_url="postgresql://postgres@/holdfast?host=/tmp",
        processes=[ProcessState(name="api", title="API", identity=identity)],
    )


def test_a_process_that_an_earlier_stack_left_behind_is_ended(left_behind: subprocess.Popen[bytes]) -> None:
    said: list[str] = []

    end_leftovers(_state(identify(left_behind.pid)), said.append)

    assert left_behind.wait(10) is not None
    assert said == [f"API (pid {left_behind.pid}) was left behind by an earlier stack: ending it."]


def test_another_process_that_was_given_the_number_is_left_alone(left_behind: subprocess.Popen[bytes]) -> None:
    end_leftovers(_state(ProcessIdentity(pid=left_behind.pid, created=1.0)), lambda _: None)

    assert left_behind.poll() is None


def test_a_state_file_without_a_supervisor_means_that_nothing_runs(
    tmp_path: Path, left_behind: subprocess.Popen[bytes]
) -> None:
    directory = DataDirectory(tmp_path)
    directory.prepare()
    write_state(directory.state, _state(identify(left_behind.pid)))

    assert running_stack(directory) is None
    assert stop_stack(directory, lambda _: None) is False
    assert left_behind.wait(10) is not None


def test_who_needs_others_stops_before_them(tmp_path: Path) -> None:
    async def ready(pid: int, started_at: datetime) -> bool:
        return True

    def child(name: str) -> Child:
        service = Service(name=name, title=name, command=(), environment={}, log=tmp_path / name, ready=ready)
        return Child(service, Progress(), lambda: None)

    started = ["postgres", "temporal", "model", "api", "workflow-worker", "runtime-worker"]

    order = [[one.service.name for one in tier] for tier in stop_order([child(name) for name in started])]

    assert order == [["workflow-worker", "runtime-worker"], ["api"], ["model"], ["temporal"], ["postgres"]]
