"""The data directory and the state file in it."""

import fcntl
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import pytest

from control_plane.local.directory import DataDirectory, DirectoryRefused
from control_plane.local.ports import USUAL
from control_plane.local.state import (
    ProcessIdentity,
    StackPhase,
    StackState,
    read_state,
    replace_file,
    running_stack,
    write_state,
)


def _state() -> StackState:
    return StackState(
        phase=StackPhase.RUNNING,
        supervisor=ProcessIdentity(pid=os.getpid(), created=1.0),
        started_at=datetime.now(UTC),
        ports=USUAL,
        api_url="http://127.0.0.1:8080",
        temporal_address="127.0.0.1:7233",
        temporal_ui_url="http://127.0.0.1:8233",
        database_url="postgresql://postgres@/holdfast?host=/tmp",
    )


def test_a_directory_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    directory = DataDirectory(tmp_path)

    with pytest.raises(DirectoryRefused, match="no data directory of Holdfast"):
        directory.prepare()
    with pytest.raises(DirectoryRefused, match="nothing was deleted"):
        directory.clear()

    assert (tmp_path / "thesis.txt").exists()


def test_clearing_deletes_all_that_is_in_our_directory_but_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    directory = DataDirectory(tmp_path / "data")
    directory.prepare()
    (directory.root / "link").symlink_to(tmp_path / "outside")

    directory.clear()

    assert list(directory.root.iterdir()) == []
    assert (tmp_path / "outside" / "kept").exists()


def test_only_one_holds_the_directory(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.prepare()

    with directory.held() as first, DataDirectory(tmp_path).held() as second:
        held = directory.is_held()

    assert (first, second, held) == (True, False, True)
    assert not directory.is_held()


def test_what_an_earlier_stack_wrote_is_not_the_state_of_the_one_that_begins(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.prepare()
    earlier = ProcessIdentity(pid=os.getpid() + 1, created=1.0)
    write_state(directory.state, _state().model_copy(update={"supervisor": earlier}))

    with directory.held():
        before = running_stack(directory)
        write_state(directory.state, _state())
        after = running_stack(directory)

    assert before is None
    assert after is not None
    assert running_stack(directory) is None


def test_a_look_at_the_lock_keeps_nobody_from_taking_it(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.prepare()

    with directory.lock.open("a") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        with directory.held() as mine:
            assert mine
            assert directory.holder() == os.getpid()
        timer.join()


def test_others_cannot_list_the_directory(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data")

    directory.prepare()

    assert not stat.S_IMODE(directory.root.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO) & ~0o011


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = _state()

    write_state(tmp_path / "stack.json", state)

    assert read_state(tmp_path / "stack.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"phase": "running"}', b"\xff"])
def test_a_state_that_a_power_cut_left_half_written_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stack.json").write_bytes(content)

    assert read_state(tmp_path / "stack.json") is None


def test_a_private_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    replace_file(tmp_path / "credentials.toml", b"x")

    assert stat.S_IMODE((tmp_path / "credentials.toml").stat().st_mode) == 0o600
