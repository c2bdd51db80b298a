"""The directories of executions, and what becomes of forgotten ones."""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from services.workspaces import ABANDONED, Workspaces, make
from workflows.policies import IDLE_TIMEOUT

LONG_AGO = time.time() - ABANDONED - 60


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One with a file, in which nothing has happened for long."""
    workspace = Workspaces(tmp_path).of(str(uuid4()))
    (workspace / "notes").mkdir(parents=True)
    (workspace / "notes" / "plan.md").write_text("x")
    for path in (workspace / "notes" / "plan.md", workspace / "notes", workspace):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return workspace


def test_what_nobody_has_touched_for_long_is_removed(workspace: Path) -> None:
    Workspaces(workspace.parent).sweep()

    assert not workspace.exists()


def test_what_was_written_lately_stays_with_all_that_is_old_in_it(workspace: Path) -> None:
    os.utime(workspace / "notes" / "plan.md")

    Workspaces(workspace.parent).sweep()

    assert workspace.exists()


def test_a_turn_that_begins_makes_it_young_again(workspace: Path) -> None:
    make(workspace)

    Workspaces(workspace.parent).sweep()

    assert workspace.exists()


def test_what_is_no_execution_is_none_of_our_business(workspace: Path) -> None:
    other = workspace.rename(workspace.parent / "holiday-pictures")

    Workspaces(workspace.parent).sweep()

    assert other.exists()


def test_a_link_is_not_followed(workspace: Path) -> None:
    target = workspace.rename(workspace.parent / "elsewhere")
    workspace.symlink_to(target)

    Workspaces(workspace.parent).sweep()

    assert (target / "notes" / "plan.md").exists()


async def test_a_worker_that_starts_sweeps_and_one_without_workspaces_does_not_mind(workspace: Path) -> None:
    for root in (workspace.parent, workspace.parent / "nothing"):
        with suppress(TimeoutError):
            await asyncio.wait_for(Workspaces(root).sweep_now_and_then(), 0.5)

    assert not workspace.exists()


def test_an_execution_that_may_still_be_answered_is_not_abandoned() -> None:
    assert IDLE_TIMEOUT.total_seconds() * 2 <= ABANDONED
