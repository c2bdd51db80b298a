"""The environment of a pool's worker: it has none of Holdfast's workflows, and a framework may have its own."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.plugins.environment import Environment
from tests.stack import Stack

FOREIGN = "Name: llama-index-workflows\nVersion: 2.26.1\nMetadata-Version: 2.1\n"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Holdfast as a pool installs it, beside a framework with a package `workflows`."""
    environment = Environment.create(tmp_path_factory.mktemp("pool") / "environment", checkout=False)
    environment.install(str(ROOT))
    write(environment.site / "workflows" / "__init__.py", '"""Somebody else\'s."""\n')
    information = environment.site / "llama_index_workflows-2.26.1.dist-info"
    write(information / "METADATA", FOREIGN)
    write(information / "RECORD", "workflows/__init__.py,,\n")
    return environment


@pytest.fixture(scope="module")
async def served(stack: Stack, pool: Environment) -> AsyncGenerator[Stack]:
    """The stack, with a worker of that environment."""
    process = stack.add_worker("native")
    process = stack.processes["native"] = replace(process, command=(str(pool.command), *process.command[1:]))
    process.start()
    try:
        yield stack
    finally:
        process.stop()
        del stack.processes["native"]


async def test_its_worker_runs_turns(served: Stack) -> None:
    await served.until(lambda: _is_live(served, "native"))
    await served.agent("of-a-pool", runtime="native")

    result = await served.result(await served.start("[[say served]]", agent="of-a-pool"))

    assert (result["response"], result["runtime"]) == ("served", "native")


def test_a_runtime_is_checked_there(pool: Environment) -> None:
    checked = pool.holdfast("runtimes", "check", "native", "--only", "plain answer")

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("command", [("api",), ("worker", "--workflows"), ("up",)])
def test_what_needs_the_workflows_says_where_they_are_missing(pool: Environment, command: tuple[str, ...]) -> None:
    refused = pool.holdfast(*command, HOLDFAST_DATABASE_URL="postgresql:///none")

    assert refused.returncode == 2
    assert "the package `workflows` here comes from llama-index-workflows." in refused.stderr
    assert "pip install 'holdfast[" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_doctor_names_who_installs_a_package_of_our_name(pool: Environment) -> None:
    told = pool.holdfast("doctor")

    assert "workflows: llama-index-workflows" in told.stdout


async def _is_live(stack: Stack, runtime: str) -> bool:
    described = await stack.http.get(f"/api/v1/runtimes/{runtime}")
    return described.is_success and described.json()["live"]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
