"""Commands in the sandbox."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from runtimes.sandbox.command_line import Limits, Room
from services.sandbox.sandbox import Ran, Sandbox

Bash = Callable[..., Coroutine[Any, Any, Ran]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An execution's directory, with that of another one and a secret beside it."""
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("SECRET")
    (tmp_path / "mine").mkdir(mode=0o700)
    return tmp_path / "mine"


@pytest.fixture
def bash(sandbox: Sandbox, workspace: Path) -> Bash:
    """Runs a command line."""

    async def run(line: str, limits: Limits | None = None, **options: Any) -> Ran:
        return await sandbox.run(["bash", "-c", line], Room(workspace, limits or Limits()), **options)

    return run
