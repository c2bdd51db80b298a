"""The configuration reference is what the settings say, and what they say of processes is so."""

import ast
from functools import cache

import pytest

from control_plane.settings import Process, Settings
from tests.architecture.source import Module, product
from tests.docs.configuration import PAGE, readers, reference

_WORKERS = frozenset({Process.WORKFLOWS, Process.POOL})
#: Which processes run a module, by the beginning of its path; the first that fits.
RUN_BY = {
    "control_plane/api/": frozenset({Process.API}),
    "control_plane/reconciler.py": frozenset({Process.API}),
    "control_plane/worker/workflows.py": frozenset({Process.WORKFLOWS}),
    "control_plane/worker/turns.py": frozenset({Process.POOL}),
    "control_plane/worker/slots.py": frozenset({Process.POOL}),
    "control_plane/worker/": _WORKERS,
    "control_plane/cli/processes.py": frozenset({Process.MIGRATE}) | _WORKERS,
    "control_plane/cli/": frozenset({Process.COMMAND}),
    "control_plane/local/": frozenset({Process.COMMAND}),
}
#: Speak of settings, and use none.
ABOUT = {"control_plane/explanations.py"}


def test_the_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text() == reference(), "make docs"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_is_read_by_the_processes_that_it_names(name: str) -> None:
    places = [processes for each, processes in reads() if each == name]
    said = set(readers(name))

    assert [sorted(processes) for processes in places if not processes & said] == []
    assert said - {process for processes in places for process in processes} == set()


@cache
def reads() -> list[tuple[str, frozenset[Process]]]:
    """Every setting that a module uses, with the processes that may run the module."""
    modules = [module for module in product() if module.path not in ABOUT]
    return [(name, _run_by(module.path)) for module in modules for name in used(module)]


def _run_by(path: str) -> frozenset[Process]:
    found = [processes for start, processes in RUN_BY.items() if path.startswith(start)]
    assert found, f"which processes run {path}?"
    return found[0]


def used(module: Module) -> set[str]:
    """The settings that a module takes from `settings`, `self._settings` and the like."""
    nodes = [node for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    return {node.attr for node in nodes if node.attr in Settings.model_fields and _named(node.value) == "settings"}


def _named(node: ast.expr) -> str:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_")
