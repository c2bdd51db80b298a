"""`holdfast runtimes check PATH`: a plugin that is not installed, and adapters that do not do as they should."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.conftest import PLUGIN

PROJECT = """
[project]
name = "holdfast-odd"
version = "0.1.0"

[project.entry-points."holdfast.runtimes"]
odd = "holdfast_odd.manifest:ODD"
"""
MANIFEST = """
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import Wire

ODD = RuntimeManifest(
    name="odd",
    title="Odd",
    entry="holdfast_odd.runtime:OddRuntime",
    distribution="holdfast-odd",
    package="httpx",
    capabilities=frozenset(),
    wires=frozenset({Wire.OPENAI}),
    differs={"401": "It asks nobody.", "plain answr": "A mistake."},
)
"""
ADAPTER = """
from runtimes.base import BaseRuntime
from runtimes.types import TurnFinished

from .manifest import ODD


class OddRuntime(BaseRuntime):
    manifest = ODD

    async def stream(self, context):
        print("The framework says hello.")
        yield TurnFinished(answer(context))


def answer(context):
    return {}["the answer"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A plugin's source; its adapter raises."""
    directory = tmp_path / "holdfast-odd"
    package = directory / "holdfast_odd"
    package.mkdir(parents=True)
    (directory / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("")
    (package / "manifest.py").write_text(MANIFEST)
    (package / "runtime.py").write_text(ADAPTER)
    return directory


def check(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "holdfast"
    return subprocess.run(
        [command, "runtimes", "check", f"./{directory.name}", *arguments],
        cwd=directory.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_plugin_is_checked_where_it_lies() -> None:
    done = check(PLUGIN, "--only", "plain answer")

    assert done.returncode == 0, done.stderr
    assert re.search(r"^oneshot: 1 passed, 0 failed, 0 skipped, in \d+\.\d s\.$", done.stderr, re.MULTILINE)


def test_an_adapters_exception_is_shown_with_its_own_frames(project: Path) -> None:
    done = check(project, "--only", "plain answer")

    assert done.returncode == 1
    assert "plain answer (openai) failed: the turn failed: runtime_crashed: KeyError: 'the answer'" in done.stderr
    assert 'holdfast_odd/runtime.py", line 13, in stream' in done.stderr
    assert 'return {}["the answer"]' in done.stderr
    assert "services/" not in done.stderr


def test_what_the_framework_writes_goes_into_a_file_that_is_named(project: Path) -> None:
    done = check(project, "--only", "plain answer")

    (named,) = re.findall(r"^What the framework wrote is in (\S+)\.$", done.stderr, re.MULTILINE)
    assert "The framework says hello." in Path(named).read_text()
    assert "says hello" not in done.stdout + done.stderr


def test_results_as_json_have_a_summary_and_the_trace(project: Path) -> None:
    done = check(project, "--only", "plain answer", "-o", "json")

    told = json.loads(done.stdout)
    assert told["summary"] == {"passed": 0, "failed": 1, "skipped": 0}
    assert told["results"][0]["trace"].endswith("KeyError: 'the answer'")
    assert Path(told["output"]).exists()


def test_a_scenario_in_which_the_manifest_differs_is_skipped_with_its_reason(project: Path) -> None:
    done = check(project, "--only", "401", "--fast", "-o", "jsonl")

    assert done.returncode == 1
    result = json.loads(done.stdout.splitlines()[0])
    assert (result["outcome"], result["detail"]) == ("skipped", "It asks nobody.")
    assert "'plain answr', which is no scenario. Did you mean 'plain answer'?" in done.stderr


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("Other = None", "has no attribute 'OddRuntime'"),
        ("class OddRuntime: ...", "has no attribute 'share'"),
        ("class OddRuntime:\n    def share(): raise OSError('no room')", "OSError: no room"),
    ],
)
def test_an_adapter_that_cannot_be_loaded_fails_with_its_trace(project: Path, adapter: str, told: str) -> None:
    (project / "holdfast_odd" / "runtime.py").write_text(f"{adapter}\n")

    done = check(project)

    assert done.returncode == 1
    assert "all (openai) failed: the adapter cannot be loaded:" in done.stderr
    assert told in done.stderr
    assert "Traceback (most recent call last):" in done.stderr
    assert "odd: 0 passed, 1 failed, 0 skipped" in done.stderr


def test_a_manifest_that_cannot_be_imported_fails_with_its_trace(project: Path) -> None:
    (project / "holdfast_odd" / "manifest.py").write_text("import nothing_of_that_name\n")

    done = check(project)

    assert done.returncode == 1
    assert 'holdfast_odd/manifest.py", line 1' in done.stderr
    assert "No module named 'nothing_of_that_name'" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name="odd"', 'name="Öne Shot"', "'name': a runtime's name is 1 to 63 of a-z, 0-9, '_' and '-'"),
        ('title="Odd",', "titel='Odd',", "'title': Field required; 'titel': Extra inputs are not permitted."),
        ('package="httpx",', 'package="httpx", versions="~1",', "'versions': '~1' is no version specifier"),
    ],
)
def test_a_manifest_that_is_not_valid_is_told_in_a_line(project: Path, old: str, new: str, told: str) -> None:
    (project / "holdfast_odd" / "manifest.py").write_text(MANIFEST.replace(old, new))

    done = check(project)

    assert done.returncode == 1
    assert f"cannot be used: Its manifest is not valid. {told}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "pydantic" not in done.stderr


def test_a_directory_that_is_not_there_is_told_without_a_list(tmp_path: Path) -> None:
    done = check(tmp_path / "nowhere")

    assert done.returncode == 1
    assert f"(project {tmp_path / 'nowhere'}) cannot be used: There is no directory" in done.stderr
    assert "Name the directory of a plugin's source." in done.stderr
    assert "list" not in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [("[project", "cannot be read"), ("[project]\nname = 'x'\n", "names no runtime"), (None, "no plugin")],
)
def test_a_directory_without_a_plugin_is_told(project: Path, text: str | None, told: str) -> None:
    file = project / "pyproject.toml"
    if text is None:
        file.unlink()
        (project / "holdfast_odd" / "__init__.py").unlink()
    else:
        file.write_text(text)

    done = check(project)

    assert done.returncode in {1, 2}
    assert told in done.stderr
    assert "Traceback" not in done.stderr
