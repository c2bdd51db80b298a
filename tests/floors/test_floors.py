"""The lowest versions that pyproject.toml allows, installed: everything imports, and runtimes do as they should."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from control_plane.local.packages import OURS
from tests.architecture.source import ROOT
from tests.architecture.test_locks import PROJECT
from tests.stack import free_port

pytestmark = [pytest.mark.whole, pytest.mark.timeout(1800)]

UV = ROOT / ".tools" / "bin" / "uv"
#: Extras that live together, by a name; the fewer there are, the lower the versions of what all need.
SETS = {
    "few": ("local", "native"),
    "all": ("local", "mcp", "agno", "claude", "langgraph", "native", "openai-agents"),
    "crewai": ("crewai",),
}
RUNTIMES = {
    "few": ("native",),
    "all": ("claude_code", "default", "langgraph", "native", "openai_agents"),
    "crewai": ("crewai",),
}
PINNED = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
#: Imports every module of ours; whether frameworks may be missing, and which modules are left out, is told to it.
IMPORT_ALL = """
import importlib, pkgutil, sys
lacking, out, ours = sys.argv[1] == "lacking", sys.argv[2].split(","), sys.argv[3:]
for name in ours:
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
        try:
            if ".migrations." not in module.name and not module.name.startswith(tuple(out)):
                importlib.import_module(module.name)
        except ModuleNotFoundError as missing:
            if not lacking or missing.name.split(".")[0] in ours:
                raise
"""
#: A program, not a module; and what asks for a framework that lives elsewhere.
LEFT_OUT = ("services.conformance.mcp_server", "runtimes.crewai")


@dataclass(frozen=True)
class Lowest:
    """An environment with the lowest versions of a set."""

    name: str
    directory: Path
    pins: Mapping[str, str]

    def run(self, *command: str, **variables: str) -> str:
        """Give the output of a program of it; it has to end well."""
        path = f"{self.directory / 'bin'}:{os.environ['PATH']}"
        ran = subprocess.run(
            [self.directory / "bin" / command[0], *command[1:]],
            env=os.environ | {"PATH": path, "HOLDFAST_DATA_DIR": str(self.directory / "data")} | variables,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, (ran.stdout + ran.stderr)[-3000:]
        return ran.stdout


@pytest.fixture(scope="module", params=SETS)
def lowest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lowest:
    """Each set in turn."""
    place, name = tmp_path_factory.mktemp(request.param), request.param
    resolved, directory = place / "lowest.txt", place / "environment"
    extras = [part for extra in SETS[name] for part in ("--extra", extra)]
    options = ("--resolution", "lowest-direct", "--no-emit-package", "holdfast-workflows", "--python", sys.executable)
    uv("pip", "compile", "pyproject.toml", *extras, *options, "--output-file", str(resolved))
    uv("venv", "--python", sys.executable, str(directory))
    python = ("--python", str(directory / "bin" / "python"))
    uv("pip", "install", *python, "--requirement", str(resolved))
    uv("build", "--all-packages", "--wheel", "--out-dir", str(place / "dist"))
    uv("pip", "install", *python, "--no-deps", *map(str, sorted((place / "dist").glob("*.whl"))))
    return Lowest(name, directory, dict(PINNED.findall(resolved.read_text())))


def test_every_floor_is_a_version_that_can_be_had(lowest: Lowest) -> None:
    unmet = {
        str(requirement): lowest.pins[name]
        for requirement in asked_for(lowest.name)
        if (name := requirement.name.lower()) in lowest.pins and floor(requirement) != Version(lowest.pins[name])
    }

    assert unmet == {}, "raise the floor to what is the lowest"


def test_everything_imports(lowest: Lowest) -> None:
    lacking = "" if lowest.name == "all" else "lacking"

    lowest.run("python", "-c", IMPORT_ALL, lacking, ",".join(LEFT_OUT), *OURS)


def test_its_runtimes_pass_the_fast_scenarios(lowest: Lowest) -> None:
    for runtime in RUNTIMES[lowest.name]:
        lowest.run("holdfast", "runtimes", "check", runtime, "--fast")


def test_the_local_stack_runs_an_agent(lowest: Lowest) -> None:
    if "agno" not in SETS[lowest.name]:
        pytest.skip("its workers serve the runtime default")
    lowest.run("holdfast", "up", "-d", *(f"--{use}port={free_port()}" for use in ("", "temporal-", "ui-")))
    try:
        assert lowest.run("holdfast", "run", "demo", "[[say lowest]]") == "lowest\n"
    finally:
        lowest.run("holdfast", "down")


def asked_for(name: str) -> Iterator[Requirement]:
    """List the requirements of Holdfast by itself, where the set is small enough, and those that the extras add."""
    listed: list[str] = [*PROJECT["dependencies"]] if name == "few" else []
    for extra in SETS[name]:
        listed += PROJECT["optional-dependencies"][extra]
    return map(Requirement, listed)


def floor(requirement: Requirement) -> Version:
    """The lowest version that a requirement allows."""
    (lowest,) = [Version(each.version) for each in requirement.specifier if each.operator in {">=", "=="}]
    return lowest


def uv(*arguments: str) -> None:
    """Run uv."""
    ran = subprocess.run([UV, *arguments, "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
