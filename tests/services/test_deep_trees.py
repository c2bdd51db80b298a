"""Workspaces in which commands have made directories within directories: they stop nothing."""

import os
import resource
import sys
import time
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest

from runtimes.sandbox.disk import use_of_disk
from runtimes.sandbox.trees import DEEPEST, remove_tree
from services import workspaces
from services.snapshots import Snapshots
from services.tools.spec import ToolFailed
from services.tools.workspace import FILES_LIMIT, Workspace
from services.workspaces import ABANDONED, Workspaces, remove

LEVELS = 5000


def deepen(directory: Path, levels: int, name: str = "d") -> None:
    """Make directories within one another, deeper than any path can say, with a file in the deepest."""
    descriptor = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=descriptor)
        inner = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


@pytest.fixture
def deep(tmp_path: Path) -> Generator[Path]:
    workspace = tmp_path / str(uuid4())
    workspace.mkdir()
    deepen(workspace, LEVELS)
    yield workspace
    remove_tree(workspace)


@pytest.fixture
def few_descriptors() -> Generator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + DEEPEST + 30, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def _upload(data: bytes) -> None:
    raise AssertionError(data)


async def _download(name: str) -> bytes:
    raise AssertionError(name)


@pytest.mark.usefixtures("few_descriptors")
async def test_it_is_removed(deep: Path) -> None:
    await remove(deep)

    assert not deep.exists()


async def test_what_cannot_be_read_is_removed_too_and_no_link_is_followed(tmp_path: Path) -> None:
    workspace, other = tmp_path / "w", tmp_path / "other"
    (workspace / "locked" / "inner").mkdir(parents=True)
    other.mkdir()
    (other / "kept").write_text("x")
    (workspace / "link").symlink_to(other)
    (workspace / "locked").chmod(0)

    await remove(workspace)

    assert (workspace.exists(), (other / "kept").read_text()) == (False, "x")


@pytest.mark.usefixtures("few_descriptors")
async def test_it_is_not_kept(deep: Path) -> None:
    with pytest.raises(ToolFailed, match=f"more than {DEEPEST} directories within one another"):
        await Snapshots(deep, _upload, _download).keep()


async def test_directories_are_counted_like_files(tmp_path: Path) -> None:
    for number in range(FILES_LIMIT + 1):
        (tmp_path / str(number)).mkdir()

    with pytest.raises(ToolFailed, match="cannot be kept"):
        await Snapshots(tmp_path, _upload, _download).keep()


@pytest.mark.usefixtures("few_descriptors")
def test_its_files_are_listed_as_far_as_they_can_be_named(deep: Path) -> None:
    (deep / "here").write_text("x")

    assert list(Workspace(deep).files()) == [("here", 1)]


@pytest.mark.usefixtures("few_descriptors")
def test_the_sweep_goes_on(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + ABANDONED + 60
    monkeypatch.setattr(workspaces.time, "time", lambda: later)

    Workspaces(deep.parent).sweep()

    assert not deep.exists()


def test_a_command_that_hides_files_below_is_stopped(deep: Path) -> None:
    files, _ = use_of_disk(deep, os.getpid(), sys.maxsize)

    assert files > sys.maxsize
