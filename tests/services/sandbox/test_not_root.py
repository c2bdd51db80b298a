"""The sandbox of a worker that is an ordinary user, as workers should be."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

NOBODY = 65534
PROGRAM = f"""
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
from runtimes.sandbox.command_line import Limits, Room
from services.sandbox.sandbox import Sandbox

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
workspace, line, processes = sys.argv[1:]
room = Room(Path(workspace), Limits(processes=int(processes)))
print(asyncio.run(Sandbox().run(["bash", "-c", line], room)))
"""

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture
def yard(tmp_path: Path) -> Path:
    """A directory that is the user's, in one that everybody may go through."""
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    own = tmp_path / "own"
    own.mkdir()
    if os.geteuid() == 0:
        os.chown(own, NOBODY, NOBODY)
    return own


async def ran(workspace: Path, line: str, processes: int) -> str:
    command = (sys.executable, "-c", PROGRAM, str(workspace), line, str(processes))
    worker = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await worker.communicate()
    return said.decode()


async def test_its_commands_have_no_more_processes_than_they_may(yard: Path) -> None:
    said = await ran(yard, "ulimit -Hu; for i in $(seq 30); do sleep 1 & done; wait", 12)

    assert said.startswith("Ran(output='12\\n")
    assert "Resource temporarily unavailable" in said


async def test_its_commands_have_those_that_they_may(yard: Path) -> None:
    said = await ran(yard, "id -u; for i in $(seq 100); do /bin/true || exit 1; done; touch kept; echo done", 12)

    assert said == "Ran(output='10001\\ndone\\n', exit_code=0, stopped='')\n"
    assert (yard / "kept").exists()
