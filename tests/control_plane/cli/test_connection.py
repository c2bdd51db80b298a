"""Which API a command talks to, and with which key."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.cli.connection import Source, find_api
from control_plane.local.directory import DataDirectory
from control_plane.local.ports import USUAL
from control_plane.local.state import ProcessIdentity, StackPhase, StackState, write_state
from control_plane.settings import Settings

STACK = "http://127.0.0.1:8099"


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory(tmp_path)
    directory.prepare()
    directory.credentials.write_text('api_key = "hf_local"\nworker_key = "hf_worker"\n')
    write_state(
        directory.state,
        StackState(
            phase=StackPhase.RUNNING,
            supervisor=ProcessIdentity(pid=os.getpid(), created=1.0),
            started_at=datetime.now(UTC),
            ports=USUAL,
            api_url=STACK,
            temporal_address="127.0.0.1:7233",
            temporal_ui_url="http://127.0.0.1:8233",
            database_url="postgresql://postgres@/holdfast?host=/tmp",
        ),
    )
    return directory


def test_the_running_stack_is_found_with_its_key(directory: DataDirectory) -> None:
    with directory.held():
        found = find_api(Settings(), directory)

    assert (found.url, found.key, found.source) == (STACK, "hf_local", Source.STACK)


def test_a_stack_that_is_not_running_is_not_asked(directory: DataDirectory) -> None:
    found = find_api(Settings(), directory)

    assert (found.url, found.key, found.source) == ("http://127.0.0.1:8080", None, Source.DEFAULT)
    assert found.stack.endswith("not running")


def test_the_local_key_goes_to_no_other_api(directory: DataDirectory) -> None:
    with directory.held():
        found = find_api(Settings(api_url="https://elsewhere.example"), directory)

    assert (found.url, found.key) == ("https://elsewhere.example", None)


def test_a_key_of_one_s_own_wins_also_on_the_local_stack(directory: DataDirectory) -> None:
    with directory.held():
        found = find_api(Settings(api_key="hf_mine"), directory)  # pyright: ignore[reportArgumentType]

    assert (found.url, found.key) == (STACK, "hf_mine")
