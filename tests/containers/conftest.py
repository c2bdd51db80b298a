"""Docker, for tests that need it; where there is none they are skipped, with the reason."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.containers.engine import DockerMissing, docker
from tests.containers.images import base
from tests.containers.report import Report

HERE = Path(__file__).parent
#: Building images takes its time.
TIMEOUT = 2400
_REPORT = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """A Docker that answers, and a base image for ours."""
    with ExitStack() as open_ones:
        try:
            open_ones.enter_context(docker())
            base()
        except DockerMissing as missing:
            pytest.skip(f"no containers here: {missing}")
        yield


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Report:
    """What this run measures."""
    return request.config.stash.setdefault(_REPORT, Report())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this directory."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(TIMEOUT))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    if report := config.stash.get(_REPORT, None):
        terminalreporter.section("containers")
        terminalreporter.write(report.render())
