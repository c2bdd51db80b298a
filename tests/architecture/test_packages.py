"""What is installed under our names, and what a process loads."""

import subprocess
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.architecture.source import PACKAGES, ROOT


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_else_installs_a_package_of_ours(package: str) -> None:
    installers = packages_distributions().get(package, ["holdfast"])

    spec = find_spec(package)

    assert set(installers) == {"holdfast"}
    assert spec is not None
    assert spec.origin == str(ROOT / package / "__init__.py")


def test_the_wheel_holds_our_packages_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]

    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == ours()
    assert "db/migrations/versions/0001_initial.py" in held


def test_a_runtime_worker_never_loads_workflow_code() -> None:
    program = "import control_plane.worker.turns, sys; print(*sys.modules)"

    worker = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    loaded = {name.split(".")[0] for name in worker.stdout.split()}
    assert "workflows" not in loaded
    assert "sqlalchemy" not in loaded


def ours() -> set[str]:
    """Every file of our packages, as the wheel names them, and the lock files."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    locks = {f"control_plane/locks/{path.name}" for path in (ROOT / "locks").iterdir()}
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts} | locks
