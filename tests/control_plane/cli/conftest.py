"""The installed command as a subprocess, and a server that plays the API's part."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.control_plane.cli.api_server import ApiServer, serving

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
FOREIGN = ("HOLDFAST_", "TEMPORAL_", "OPENAI_", "ANTHROPIC_")


@dataclass(frozen=True)
class Cli:
    """`holdfast` in a directory of its own, talking to `url`."""

    directory: Path
    url: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return kept | {
            "HOLDFAST_DATA_DIR": str(self.directory / "data"),
            "HOLDFAST_API_URL": self.url,
            "HOLDFAST_API_KEY": "hf_test",
        }

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HOLDFAST, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
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
