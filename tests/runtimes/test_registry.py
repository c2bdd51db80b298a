"""Which runtimes are known: those that are shipped, and plugins; broken ones are told."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runtimes.frameworks import Discovery, FrameworksConfig
from runtimes.manifests.known import KNOWN
from runtimes.registry import BUILT_IN, BrokenRuntime, RuntimeRegistry
from tests.runtimes.sample_manifests import ACME

#: An ordinary user's number.
NOBODY = 65534
SAMPLES = "tests.runtimes.sample_manifests"
PLUGIN = """
from runtimes.manifests.manifest import RuntimeManifest

MANIFEST = RuntimeManifest(
    name="{name}", title="Of a directory", entry="{name}:Adapter", package="pytest", capabilities=[], wires=[]
)
"""


@pytest.fixture(autouse=True)
def path_as_before() -> Generator[None]:
    """Directories of plugins are on Python's path for as long as the process lives."""
    before = list(sys.path)
    yield
    sys.path[:] = before


def test_what_is_shipped_is_known_without_looking_anywhere() -> None:
    registry = found()

    assert dict(registry) == dict(KNOWN)
    assert {registry.origin(name) for name in registry} == {BUILT_IN}
    assert registry.broken == []


def test_a_manifest_is_found_by_its_import_path() -> None:
    registry = found(f"{SAMPLES}:ACME")

    assert registry["acme"] == ACME
    assert registry.origin("acme") == f"module {SAMPLES}:ACME"


@pytest.mark.parametrize(
    ("path", "reason", "hint"),
    [
        ("no_such_module:ACME", "ModuleNotFoundError", ""),
        (f"{SAMPLES}:ACMO", "has no 'ACMO'", "Did you mean 'ACME'?"),
        (f"{SAMPLES}:Adapter", "is a class", "Name the runtime's manifest"),
        (f"{SAMPLES}:NO_MANIFEST", "of type 'str'", "docs/plugins.md"),
        (f"{SAMPLES}:TAKEN", "'default' is taken: built in", "another name"),
        (f"{SAMPLES}:OF_THE_FUTURE", "contract 2; this Holdfast has contract 1", "Upgrade Holdfast."),
        (f"{SAMPLES}:OF_THE_PAST", "contract 0; this Holdfast has contract 1", "Upgrade acme-runtime."),
        ("acme", "no import path", "package.module:NAME"),
    ],
)
def test_a_broken_one_is_told_with_its_reason_and_stops_nobody(path: str, reason: str, hint: str) -> None:
    registry = found(path, f"{SAMPLES}:ACME")

    assert set(registry) == {*KNOWN, "acme"}
    broken = only(registry.broken)
    assert (broken.name, broken.origin) == (path, f"module {path}")
    assert reason in broken.reason
    assert hint in broken.hint


def test_of_two_with_one_name_the_first_stays() -> None:
    registry = found(f"{SAMPLES}:ACME", f"{SAMPLES}:SAME_NAME")

    assert registry["acme"] == ACME
    assert only(registry.broken).reason == f"The name 'acme' is taken: module {SAMPLES}:ACME."


def test_what_is_found_twice_is_no_collision() -> None:
    assert found(f"{SAMPLES}:ACME", f"{SAMPLES}:ACME").broken == []


def test_a_directory_holds_modules_and_packages(tmp_path: Path) -> None:
    (tmp_path / "holdfast_test_module.py").write_text(PLUGIN.format(name="holdfast_test_module"))
    (tmp_path / "holdfast_test_package").mkdir()
    (tmp_path / "holdfast_test_package" / "__init__.py").write_text(PLUGIN.format(name="holdfast_test_package"))
    (tmp_path / "_of_its_own.py").write_text("raise SystemExit")
    (tmp_path / "notes.txt").write_text("Not a plugin.")

    registry = found_in(tmp_path)

    assert set(registry) - set(KNOWN) == {"holdfast_test_module", "holdfast_test_package"}
    assert registry.origin("holdfast_test_module") == f"directory {tmp_path}"
    assert registry.broken == []


def test_broken_modules_of_a_directory_are_told(tmp_path: Path) -> None:
    (tmp_path / "holdfast_test_raises.py").write_text("raise RuntimeError('no licence')")
    (tmp_path / "holdfast_test_empty.py").write_text("")
    (tmp_path / "holdfast_test_script.py").write_text("raise SystemExit(1)")
    (tmp_path / "json.py").write_text(PLUGIN.format(name="json"))

    registry = found_in(tmp_path)

    reasons = {broken.name: broken.reason for broken in registry.broken}
    assert "RuntimeError: no licence" in reasons["holdfast_test_raises"]
    assert reasons["holdfast_test_empty"] == "Module 'holdfast_test_empty' has no 'MANIFEST'."
    assert reasons["holdfast_test_script"] == "Module 'holdfast_test_script' cannot be imported: it ends the process."
    assert "Another module is called 'json' too" in reasons["json"]
    assert sys.path[-1] == str(tmp_path)


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    registry = found_in(tmp_path / "gone")

    assert only(registry.broken).reason == f"There is no directory '{tmp_path / 'gone'}'."


def test_a_directory_that_cannot_be_read_is_told() -> None:
    with TemporaryDirectory() as name:
        top, inner = Path(name), Path(name) / "inner"
        top.chmod(0o755)
        (top / "file").touch()
        (inner / "package").mkdir(parents=True)
        (inner / "package").chmod(0o000)
        with as_ordinary_user():
            places = (top / "file", top / ("x" * 300), inner, inner / "package")
            told = [only(found_in(place).broken).reason for place in places]

    assert [reason.partition(" cannot be read: ")[2].partition(":")[0] for reason in told] == [
        "Not a directory",
        "File name too long",
        "Permission denied",
        "Permission denied",
    ]


def test_a_directory_of_installed_distributions_speaks_by_their_entry_points(tmp_path: Path) -> None:
    info = tmp_path / "acme_runtime-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-runtime\nVersion: 1.0\n")
    points = f"acme = {SAMPLES}:ACME\nadapter = {SAMPLES}:Adapter\ngone = no_such_module:MANIFEST\n"
    (info / "entry_points.txt").write_text(f"[holdfast.runtimes]\n{points}")
    (tmp_path / "a_dependency.py").write_text("raise SystemExit")

    registry = found_in(tmp_path)

    assert registry.origin("acme") == "entry point of acme-runtime 1.0"
    assert [(broken.name, broken.origin) for broken in registry.broken] == [
        ("adapter", "entry point of acme-runtime 1.0"),
        ("gone", "entry point of acme-runtime 1.0"),
    ]
    assert registry.broken[0].hint == "Name the runtime's manifest there, not its adapter."
    again = RuntimeRegistry.discover(FrameworksConfig(discovery=Discovery(directories=(tmp_path,))))
    assert again.broken == registry.broken


def found(*modules: str) -> RuntimeRegistry:
    """The registry with these references."""
    return RuntimeRegistry.discover(FrameworksConfig(discovery=Discovery(auto_scan=False, modules=modules)))


@contextmanager
def as_ordinary_user() -> Generator[None]:
    """Root may read everything: for this while, we are somebody else."""
    before = os.geteuid()
    os.seteuid(before or NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def found_in(directory: Path) -> RuntimeRegistry:
    """The registry with a directory of plugins."""
    return RuntimeRegistry.discover(FrameworksConfig(discovery=Discovery(auto_scan=False, directories=(directory,))))


def only(broken: list[BrokenRuntime]) -> BrokenRuntime:
    """The one that is there."""
    assert len(broken) == 1, broken
    return broken[0]
