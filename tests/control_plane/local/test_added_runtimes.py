"""Runtimes that are added to a running local stack, each with an environment of its own, and removed again."""

import json
import subprocess
from collections.abc import Iterator
from os.path import relpath
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import psutil
import pytest

from control_plane.local.added import AddedRuntime, added_runtime, added_runtimes, want
from control_plane.local.directory import DataDirectory
from control_plane.local.environments import ChangeRefused, EnvironmentMaker, find_uv
from control_plane.local.own_wheel import source_tree
from runtimes.types import Wire
from tests.architecture.source import ROOT
from tests.control_plane.local.stack_at_work import StackAtWork, until
from tests.plugins.conftest import PLUGIN
from tests.runtimes.model_server import serving
from tests.stack import free_port

pytestmark = pytest.mark.timeout(900)

#: An environment has some hundred megabytes, and the machine may be busy.
SECONDS = 600.0
LONG = "[[emit 400 @20;; say end]]"
OTHERS = ("langgraph", "native", "openai_agents", "claude_code")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAtWork]:
    """A stack with a provider on each wire."""
    with serving() as model:
        environment = {
            "HOLDFAST_PROVIDERS__SCRIPTED__BASE_URL": model.endpoint(Wire.OPENAI).base_url,
            "HOLDFAST_PROVIDERS__SCRIPTED__MODELS": "scripted",
            "HOLDFAST_PROVIDERS__ANTHROPIC_SCRIPTED__BASE_URL": model.endpoint(Wire.ANTHROPIC).base_url,
            "HOLDFAST_PROVIDERS__ANTHROPIC_SCRIPTED__WIRE": "anthropic",
        }
        stack = StackAtWork(tmp_path_factory.mktemp("added") / "data", environment)
        try:
            stack.up("--port", str(free_port()), "--temporal-port", str(free_port()), "--ui-port", str(free_port()))
            yield stack
        finally:
            stack("down")


@pytest.fixture(scope="module")
def crewai(local: StackAtWork) -> str:
    """Added while an execution runs; gives that execution."""
    started = local("run", "demo", LONG, "--detach")
    assert started.returncode == 0, started.stderr
    added = local("runtimes", "add", "crewai", seconds=SECONDS)
    assert added.returncode == 0, added.stderr
    return started.stdout.strip()


def ask(local: StackAtWork, runtime: str, model: str = "scripted/scripted") -> str:
    """Give the agent demo another runtime, and ask it."""
    local.json("agents", "update", "demo", "--runtime", runtime, "--model", model)
    asked = local("run", "demo", f"[[say I am {runtime}.]]", "-o", "json")
    assert asked.returncode == 0, asked.stderr
    told: dict[str, Any] = json.loads(asked.stdout)
    assert told["runtime"] == runtime
    return told["response"]


def test_a_running_execution_does_not_notice_that_a_runtime_is_added(local: StackAtWork, crewai: str) -> None:
    ended = local("executions", "result", crewai, "--wait", "90")

    assert ended.stdout.endswith("tok400 end\n"), ended.stderr
    assert local.json("executions", "get", crewai)["attempt"] == 1


@pytest.mark.usefixtures("crewai")
def test_the_same_agent_runs_under_another_runtime_by_patching_it(local: StackAtWork) -> None:
    assert [ask(local, runtime) for runtime in ("default", "crewai", "default")] == [
        "I am default.",
        "I am crewai.",
        "I am default.",
    ]


@pytest.mark.usefixtures("crewai")
def test_status_and_doctor_know_its_pool(local: StackAtWork) -> None:
    assert local.process("pool-crewai")["phase"] == "ready"
    checks = {check["id"]: check for check in json.loads(local("doctor", "-o", "json").stdout)["checks"]}
    assert checks["runtime_crewai"]["status"] == "ok"


@pytest.mark.usefixtures("crewai")
def test_its_pool_comes_back_with_the_stack_and_after_a_kill(local: StackAtWork) -> None:
    local.kill("pool-crewai")
    local("down")
    local.up()

    until(lambda: ("pool-crewai", "ready") in [(each["name"], each["phase"]) for each in processes(local)], SECONDS)
    assert ask(local, "crewai") == "I am crewai."


@pytest.mark.whole
@pytest.mark.usefixtures("crewai")
def test_one_agent_runs_under_six_runtimes(local: StackAtWork) -> None:
    for runtime in OTHERS:
        added = local("runtimes", "add", runtime, seconds=SECONDS)
        assert added.returncode == 0, added.stderr

    names = ("default", *OTHERS, "crewai")
    models = {"claude_code": "anthropic_scripted/scripted"}
    answers = {name: ask(local, name, models.get(name, "scripted/scripted")) for name in names}

    assert answers == {name: f"I am {name}." for name in names}


@pytest.mark.usefixtures("crewai")
def test_a_removed_runtime_leaves_nothing(local: StackAtWork) -> None:
    pid = local.process("pool-crewai")["identity"]["pid"]

    removed = local("runtimes", "remove", "crewai", "--yes")

    assert removed.returncode == 0, removed.stderr
    assert not psutil.pid_exists(pid)
    assert "pool-crewai" not in [each["name"] for each in processes(local)]
    assert not (local.directory / "runtimes" / "crewai").exists()
    assert local("runtimes", "remove", "crewai", "--yes").returncode == 3


@pytest.mark.parametrize(
    "source",
    [("oneshot", "--from", str(PLUGIN)), (str(PLUGIN),), ("RELATIVE",)],
    ids=["named", "by its path", "relative"],
)
def test_somebody_elses_runtime_is_added_and_removed(local: StackAtWork, source: tuple[str, ...]) -> None:
    source = tuple(relpath(PLUGIN, local.directory.parent) if each == "RELATIVE" else each for each in source)
    agent = f"of-a-plugin-{uuid4().hex[:8]}"
    early = local.json("agents", "create", agent, "--runtime", "oneshot", "--model", "scripted/scripted")
    added = local("runtimes", "add", *source, seconds=SECONDS)
    assert added.returncode == 0, added.stderr
    assert [each["code"] for each in early["warnings"]] == ["runtime_not_live"]
    record = added_runtime(DataDirectory(local.directory), "oneshot")
    assert record is not None
    assert record.source == str(PLUGIN)

    answered = local("run", agent, "[[say I am somebody else's.]]")
    removed = local("runtimes", "remove", "oneshot", "--yes")

    assert answered.stdout == "I am somebody else's.\n", answered.stderr
    assert removed.returncode == 0, removed.stderr
    assert "pool-oneshot" not in [each["name"] for each in processes(local)]
    assert not (local.directory / "runtimes" / "oneshot").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("add", "crewal"), 3, "Did you mean 'crewai'?"),
        (("add", "default"), 2, "needs no environment of its own"),
        (("remove", "nothing", "--yes"), 3, "was not added here"),
        (("add", "acme", "--from", "/nonexistent/acme"), 1, "uv pip install failed"),
        (("add", "/nonexistent/acme"), 2, "There is no directory '/nonexistent/acme'."),
        (("add", "./acme", "--from", "acme"), 2, "was given twice"),
    ],
)
def test_what_cannot_be_added_or_removed_is_explained(
    local: StackAtWork, arguments: tuple[str, ...], code: int, told: str
) -> None:
    refused = local("runtimes", *arguments)

    assert refused.returncode == code, refused.stderr
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr


def test_without_a_running_stack_nothing_is_added(tmp_path: Path) -> None:
    refused = StackAtWork(tmp_path / "data")("runtimes", "add", "crewai")

    assert refused.returncode == 3
    assert "is not running" in refused.stderr
    assert "holdfast up" in refused.stderr


def test_without_a_network_the_package_index_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"idna==3.10 \\\n    --hash=sha256:{'0' * 64}\n")

    with pytest.raises(ChangeRefused) as failed:
        EnvironmentMaker(find_uv(), print).from_lock(tmp_path / "environment", lock)

    assert failed.value.code == "packages_unreachable"


def test_a_wheel_is_packed_of_what_is_installed(tmp_path: Path) -> None:
    """The wheel that an environment was made of, and the one that is made of that environment."""
    EnvironmentMaker(find_uv(), print).from_lock(tmp_path / "first", empty(tmp_path))
    program = "import sys, pathlib, control_plane.local.own_wheel as own; own.packed(pathlib.Path(sys.argv[1]))"
    command = [tmp_path / "first" / "bin" / "python", "-c", program, tmp_path]
    subprocess.run(command, check=True, cwd="/")

    (packed,) = tmp_path.glob("*.whl")
    with ZipFile(packed) as archive:
        names = set(archive.namelist())

    assert {"control_plane/locks/crewai.txt", "runtimes/base.py", "db/migrations/versions/0001_initial.py"} <= names
    assert not any(".." in name or name.endswith(".pyc") for name in names)
    assert source_tree() == ROOT


def test_a_record_that_cannot_be_read_wants_nothing(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    runtime = AddedRuntime(name="crewai", title="CrewAI", environment=tmp_path, holdfast="0.1.0")
    want(directory, runtime)
    (directory.runtime("broken") / "runtime.json").parent.mkdir(parents=True)
    (directory.runtime("broken") / "runtime.json").write_text("{")

    assert added_runtimes(directory) == [runtime]


def empty(place: Path) -> Path:
    """A lock of no packages."""
    lock = place / "empty.txt"
    lock.write_text("")
    return lock


def processes(local: StackAtWork) -> list[dict[str, Any]]:
    return local.json("status")["processes"]
