"""Who may import whom: the contracts in pyproject.toml, and what import-linter cannot say."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, Module, product

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

#: What packages may import beside the standard library and ours; `services` and `control_plane` may more.
THIRD_PARTIES = {
    "activities": {"pydantic", "temporalio"},
    "db": {"alembic", "psycopg", "sqlalchemy"},
    "runtimes": {"pydantic"},
    "workflows": {"pydantic", "temporalio"},
}
#: The SDKs of adapters, and what checks manifests, by the modules of each.
SDKS = {
    "runtimes.agno_models": {"agno", "anthropic", "openai"},
    "runtimes.agno_turn": {"agno"},
    "runtimes.claude_code_options": {"claude_agent_sdk"},
    "runtimes.claude_code_process": {"claude_agent_sdk"},
    "runtimes.claude_code_runtime": {"claude_agent_sdk"},
    "runtimes.claude_code_store": {"claude_agent_sdk"},
    "runtimes.claude_code_tools": {"claude_agent_sdk", "mcp"},
    "runtimes.claude_code_turn": {"claude_agent_sdk"},
    "runtimes.default_runtime": {"agno"},
    "runtimes.crewai_crew": {"crewai"},
    "runtimes.crewai_model": {"crewai", "httpx", "openai"},
    "runtimes.crewai_runtime": {"crewai", "httpx"},
    "runtimes.crewai_tools": {"crewai"},
    "runtimes.langgraph_graphs": {"langchain", "langchain_core", "langgraph"},
    "runtimes.langgraph_interrupts": {"langgraph", "pydantic_core"},
    "runtimes.langgraph_messages": {"langchain_core"},
    "runtimes.langgraph_models": {"anthropic", "langchain_anthropic", "langchain_core", "langchain_openai"},
    "runtimes.langgraph_runtime": {"langgraph", "pydantic_core"},
    "runtimes.langgraph_tools": {"langchain", "langchain_core", "langgraph"},
    "runtimes.manifests.manifest": {"jsonschema_rs", "packaging"},
    "runtimes.model_clients": {"anthropic", "httpx2"},
    "runtimes.native_model": {"pydantic_ai"},
    "runtimes.openai_agents_model": {"agents", "openai"},
    "runtimes.openai_agents_runtime": {"agents"},
    "runtimes.openai_agents_team": {"agents"},
    "runtimes.openai_agents_tools": {"agents"},
    "runtimes.openai_clients": {"openai"},
}

#: Modules that may hold a Temporal client; the doctor asks one whether Temporal is well.
TEMPORAL_CLIENTS = {
    "control_plane.gateway",
    "control_plane.temporal",
    "control_plane.worker.canary",
    "control_plane.worker.process",
}
#: Outside the control plane, who touches environment variables: the factory sets a framework's switches.
ENVIRONMENT = {"runtimes.factory"}
#: Outside the control plane, who starts processes: the sandbox, bounded jobs, and the scripted model its own server.
STARTERS = {
    "runtimes.sandbox.process",
    "services.bounded.process",
    "services.bounded.server",
    "services.scripted_model.process",
}


def test_the_import_contracts_hold() -> None:
    linted = subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_adapter_is_in_its_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]

    (protected,) = [contract["protected_modules"] for contract in contracts if contract["type"] == "protected"]

    assert sorted(protected) == [name for name in names() if name.startswith("runtimes.") and name.endswith("_runtime")]


@pytest.mark.parametrize("package", THIRD_PARTIES)
def test_a_layer_imports_only_its_third_parties(package: str) -> None:
    modules = [module for module in product() if module.name.split(".")[0] == package]

    foreign = {module.name: third_parties(module) - THIRD_PARTIES[package] for module in modules}

    assert {name: imports for name, imports in foreign.items() if imports - SDKS.get(name, set())} == {}


def test_a_temporal_client_is_held_in_few_places() -> None:
    holders = {module.name for module in product() if "temporalio.client.Client" in module.imports}

    assert holders == TEMPORAL_CLIENTS, "the list only shrinks: ask control_plane.gateway"


def test_only_values_travel_below_the_control_plane() -> None:
    below = [module for module in product() if not module.name.startswith("control_plane")]

    readers = {module.name for module in below if touches_environment(module)}

    assert readers == ENVIRONMENT, "the list only shrinks: pass the value in"


def test_nothing_of_a_tenant_is_started_but_in_the_sandbox() -> None:
    below = [module for module in product() if not module.name.startswith("control_plane")]

    starters = {module.name for module in below if starts_processes(module)}

    assert starters == STARTERS, "start it by runtimes.sandbox.process"


def names() -> list[str]:
    """All modules of the product."""
    return [module.name for module in product()]


def third_parties(module: Module) -> set[str]:
    """Top-level names of what it imports that is neither ours nor Python's."""
    return {name.split(".")[0] for name in module.imports} - set(PACKAGES) - sys.stdlib_module_names


def touches_environment(module: Module) -> bool:
    """Whether it reads or sets environment variables."""
    attributes = [node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    return bool({"environ", "getenv", "putenv"} & {*attributes, *(name.split(".")[-1] for name in module.imports)})


def starts_processes(module: Module) -> bool:
    """Whether it starts programs."""
    attributes = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
    starting = {"create_subprocess_exec", "create_subprocess_shell", "posix_spawn", "fork", "execv", "execve"}
    return bool(starting & attributes) or "subprocess" in {name.split(".")[0] for name in module.imports}
