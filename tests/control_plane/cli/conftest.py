"""The installed command as a subprocess, against the real stack or a server that plays the API's part."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pytest

from tests.control_plane.cli.api_server import ApiServer, serving
from tests.stack import Stack

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
#: Says a word and then nothing more, until somebody ends it.
ENDLESS = "[[say first;; hang]]"
FOREIGN = ("HOLDFAST_", "TEMPORAL_", "OPENAI_", "ANTHROPIC_")


@dataclass(frozen=True)
class Cli:
    """`holdfast` in a directory of its own, talking to `url`."""

    directory: Path
    url: str
    key: str = "hf_test"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return kept | {
            "HOLDFAST_DATA_DIR": str(self.directory / "data"),
            "HOLDFAST_API_URL": self.url,
            "HOLDFAST_API_KEY": self.key,
        }

    def json(self, *arguments: str) -> Any:
        """What a command prints with `-o json`."""
        done = self(*arguments, "-o", "json")
        assert done.returncode in {0, 10}, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def started(self, *arguments: str) -> Generator[subprocess.Popen[bytes]]:
        """A command that runs on; nobody is at its stdin."""
        pipe, nobody = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(
            [HOLDFAST, *arguments], stdin=nobody, stdout=pipe, stderr=pipe, cwd=self.directory, env=self.environment
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HOLDFAST, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            cwd=self.directory,
            env=self.environment,
        )


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with serving() as api:
        yield api


@pytest.fixture
def holdfast(api: ApiServer, tmp_path: Path) -> Cli:
    return Cli(tmp_path, api.url)


@pytest.fixture
def cli(stack: Stack, tmp_path: Path) -> Cli:
    """The command on the stack that all tests share."""
    return Cli(tmp_path, stack.api_url, stack.api_key)


@pytest.fixture
async def agent(stack: Stack) -> str:
    """An agent of the test's own, so that its executions can be told from others."""
    name = f"cli-{uuid4()}"
    await stack.agent(name)
    return name


def execution_of(cli: Cli, agent: str) -> str:
    """The only execution of an agent."""
    (execution,) = cli.json("executions", "list", "--agent", agent)["items"]
    return execution["id"]


def read_until(stream: IO[bytes] | None, text: bytes) -> bytes:
    """Read on until the text has come; gives all that was read."""
    assert stream is not None
    seen = b""
    while text not in seen:
        piece = os.read(stream.fileno(), 1024)
        assert piece, f"{text!r} never came: {seen!r}"
        seen += piece
    return seen
