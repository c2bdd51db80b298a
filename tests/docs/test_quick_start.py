"""The quick start, followed on a machine that has nothing yet but the command."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_plane.local.stack_at_work import FOREIGN, StackAtWork
from tests.docs.markdown import Document
from tests.docs.shell import run_script

#: Seconds for a whole stack to start, and for a killed worker's turn to go on.
PATIENCE = 300.0
PAGE = Document("docs/quick-start.md")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[StackAtWork]:
    stack = StackAtWork(tmp_path / "data")
    yield stack
    stack("down")


@pytest.mark.timeout(PATIENCE + 60)
def test_its_agent_survives_the_kill_of_its_worker(local: StackAtWork) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment = kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOLDFAST_DATA_DIR": str(local.directory),
    }

    said = run_script(PAGE.blocks("bash start"), environment, local.directory.parent, PATIENCE)

    assert "tok300 end" in said
    assert [said.count(event) for event in ("attempt.lost", "execution.completed")] == [1, 1]
