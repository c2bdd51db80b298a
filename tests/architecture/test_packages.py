"""What is installed under our names, and what a process loads."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from control_plane.local.packages import OURS
from tests.architecture.source import PACKAGES, ROOT


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_installs_a_package_of_ours(package: str) -> None:
    installers = packages_distributions().get(package, [OURS[package]])

    spec = find_spec(package)

    assert set(installers) == {OURS[package]}
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_the_wheel_holds_our_packages_and_nothing_else(tmp_path: Path) -> None:
    held = wheel_of(ROOT, tmp_path)

    locks = {f"control_plane/locks/{path.name}" for path in (ROOT / "locks").iterdir()}
    assert held == ours("holdfast") | locks
    assert "db/migrations/versions/0001_initial.py" in held


def test_the_workflows_have_a_wheel_of_their_own(tmp_path: Path) -> None:
    held = wheel_of(ROOT / "workflows", tmp_path)

    assert held == {name for name in ours("holdfast-workflows") if name.endswith(".py")}
    assert "workflows/agent_execution.py" in held


def test_both_distributions_have_one_version_and_a_pool_gets_the_first_only() -> None:
    project, workflows = (
        tomllib.loads((place / "pyproject.toml").read_text())["project"] for place in (ROOT, ROOT / "workflows")
    )
    pinned = f"{workflows['name']}=={project['version']}"

    bringing = {extra for extra, listed in project["optional-dependencies"].items() if pinned in listed}

    assert workflows["version"] == project["version"]
    assert bringing == {"control-plane", "local"}
    assert not any(requirement.startswith(workflows["name"]) for requirement in project["dependencies"])


def test_a_runtime_worker_never_loads_workflow_code() -> None:
    program = "import control_plane.worker.turns, sys; print(*sys.modules)"

    worker = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    loaded = {name.split(".")[0] for name in worker.stdout.split()}
    assert "workflows" not in loaded
    assert "sqlalchemy" not in loaded


def wheel_of(project: Path, place: Path) -> set[str]:
    """Build a distribution's wheel; gives the files in it."""
    # Not by `python -m`, which would look for Python's modules in the project first: `types` is one of ours too.
    command = [Path(sys.executable).with_name("hatchling"), "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def ours(distribution: str) -> set[str]:
    """Every file of a distribution's packages, as the wheel names them."""
    packages = [name for name, owner in OURS.items() if owner == distribution]
    files = (path for package in packages for path in (ROOT / package).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
