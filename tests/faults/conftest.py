"""The field of each runtime, kept for all the scenarios of a run, and the report."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from db.migrate import upgrade
from runtimes.factory import RuntimeFactory
from tests.environments import ELSEWHERE
from tests.faults.evidence import has_journal
from tests.faults.field import SETTINGS, Field
from tests.faults.matrix import Wording
from tests.faults.report import Report
from tests.postgres import embedded_postgres

RUNTIMES = ("native", "default", "langgraph", "openai_agents", "crewai", "claude_code")
#: What `make test` runs of the matrix and the scenarios.
QUICK = {
    "native": {
        "during-a-stream",
        "between-claim-and-effect",
        "between-effect-and-commit",
        "while-suspended",
        "frozen before a claim",
    },
    "default": {"during-the-last-message"},
    "langgraph": {"during-the-last-message"},
    "openai_agents": {"during-the-last-message"},
    "crewai": {"during-the-last-message"},
    "claude_code": {"during-the-last-message"},
}
#: And of the model that words itself anew.
QUICK_IN_OTHER_WORDS = {"native": {"between-effect-and-commit"}, "claude_code": {"during-the-last-message"}}
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
#: A crash of the server alone loses nothing that it has committed.
CRASH_SAFE = ("-c", "fsync=off", "-c", "full_page_writes=off")

_REPORT = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """What this run finds."""
    report = request.config.stash.setdefault(_REPORT, Report())
    yield report
    report.write()


@pytest.fixture(scope="session", params=RUNTIMES)
async def field(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Field]:
    """The field of one runtime."""
    async with _field_of(request.param, tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
async def mutant_field(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Field]:
    """A field of the fastest runtime, for broken variants."""
    async with _field_of("native", tmp_path_factory) as running:
        yield running


@asynccontextmanager
async def _field_of(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Field]:
    installed = [found.name for found in RuntimeFactory().installed()]
    if runtime not in installed and runtime not in ELSEWHERE:
        pytest.skip(f"the runtime '{runtime}' is not installed: {', '.join(installed)} are")
    with embedded_postgres(*CRASH_SAFE) as postgres:
        upgrade(postgres.url)
        if not await has_journal(postgres.url):
            pytest.skip("there is no step journal yet")
        directory = tmp_path_factory.mktemp(runtime)
        settings = SETTINGS | {"PYTHONPATH": str(ROOT)}
        async with Field(directory, postgres.url, settings=settings, pools=(runtime,), postgres=postgres) as running:
            yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes too long for each run of the tests."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.is_relative_to(HERE) and not _is_quick(item):
            item.add_marker(pytest.mark.whole)


def _is_quick(item: pytest.Function) -> bool:
    if "field" not in item.fixturenames:
        return True
    chosen = {str(value) for value in item.callspec.params.values()}
    quick = QUICK_IN_OTHER_WORDS if Wording.OTHER in chosen else QUICK
    return bool(chosen & quick.get(str(item.callspec.params["field"]), set()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was found."""
    if report := config.stash.get(_REPORT, None):
        terminalreporter.section("faults")
        terminalreporter.write(report.render())
