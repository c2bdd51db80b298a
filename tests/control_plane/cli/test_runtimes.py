"""`holdfast runtimes list`: versions at a glance, broken plugins beside the table."""

from pathlib import Path
from typing import Any

import pytest

from control_plane.api import examples
from tests.control_plane.cli.api_server import Answer, ApiServer
from tests.control_plane.cli.conftest import Cli

RUNTIME: dict[str, Any] = examples.RUNTIME
BROKEN = {"name": "acme", "origin": "entry point of acme-runtime 1.0", "reason": "It is a class.", "hint": "Name it."}


INSTALLED = RUNTIME | {"installed_version": "3.1.10"}
ELSEWHERE: dict[str, Any] = {"name": "elsewhere", "live": False, "pools": [], "installed_versions": []}
OLDER: dict[str, Any] = {"name": "older", "installed_versions": ["3.0.0", "3.1.10"], "unsupported_versions": ["3.0.0"]}


@pytest.fixture
def runtimes(api: ApiServer) -> None:
    items = [INSTALLED, INSTALLED | ELSEWHERE, INSTALLED | OLDER]
    api.on("GET /api/v1/runtimes", Answer(body={"items": items, "broken": [BROKEN]}))


@pytest.mark.usefixtures("runtimes")
def test_the_table_says_what_is_installed_and_what_is_supported(holdfast: Cli) -> None:
    done = holdfast("runtimes", "list")

    header, default, elsewhere, older = done.stdout.splitlines()
    assert header.split() == ["NAME", "LIVE", "POOLS", "PACKAGE", "INSTALLED", "SUPPORTED", "CAPABILITIES", "TITLE"]
    assert default.split()[:6] == ["default", "yes", "default", "agno", "3.1.10", ">=3.1.10,<3.2"]
    assert elsewhere.split()[:5] == ["elsewhere", "no", "-", "agno", "3.1.10"]
    assert "3.0.0 (unsupported), 3.1.10" in older


@pytest.mark.usefixtures("runtimes")
def test_broken_plugins_are_told_on_stderr(holdfast: Cli) -> None:
    done = holdfast("runtimes", "list")

    assert done.stderr == "Broken plugin 'acme' (entry point of acme-runtime 1.0): It is a class. Name it.\n"


def test_a_runtime_is_removed_by_those_who_say_that_they_mean_it(tmp_path: Path) -> None:
    refused = Cli(tmp_path, "http://127.0.0.1:1")("runtimes", "remove", "crewai")

    assert refused.returncode == 2
    assert "There is nobody to ask." in refused.stderr
    assert "--yes" in refused.stderr
