"""Every image: nothing to build with, an ordinary user, a root that nobody writes, an end at SIGTERM."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.architecture.source import ROOT
from tests.containers.images import IMAGES, built, run
from tests.containers.report import Report

#: Those that the others differ from by what they install.
NEEDED = {"control-plane", "worker-native"}
#: What a process is told that finds nobody yet.
ALONE = {
    "HOLDFAST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "TEMPORAL_ADDRESS": "127.0.0.1:1",
    "HOLDFAST_API_URL": "http://127.0.0.1:1",
    "HOLDFAST_API_KEY": "none",
}
RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
PROFILE = ROOT / "deploy" / "images" / "seccomp-sandbox.json"
#: What a worker does for the tool `shell`.
SHELL = """
import asyncio, pathlib, tempfile
from runtimes.errors import ToolsetInvalid
from runtimes.sandbox.command_line import Room
from services.sandbox.sandbox import Sandbox

async def run():
    sandbox, room = Sandbox(), Room(pathlib.Path(tempfile.mkdtemp()))
    await sandbox.check()
    command = "id -u; pwd; grep --count : /proc/net/dev"
    return (await sandbox.run(["sh", "-c", command], room)).output

try:
    print(asyncio.run(run()), end="")
except ToolsetInvalid as problem:
    print(problem.message)
"""
TOOLS = ("pip", "pip3", "gcc", "cc", "g++", "make", "ld", "curl", "wget", "git")
MODULES = ("pip", "ensurepip", "setuptools")
#: Seconds until Docker says that a container is healthy, and until one has ended.
PATIENCE = 180.0
GRACE = 60.0


@pytest.fixture(
    scope="module", params=[name if name in NEEDED else pytest.param(name, marks=pytest.mark.whole) for name in IMAGES]
)
def image(request: pytest.FixtureRequest, engine: None) -> str:
    """Each of our images."""
    return built(request.param)


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[str]:
    """One that runs what its image runs by itself."""
    settings = (f"--env={name}={value}" for name, value in ALONE.items())
    name = run("docker", "run", "--detach", *RESTRICTED, *settings, image)
    yield name
    run("docker", "rm", "--force", "--volumes", name)


def inspected(kind: str, name: str) -> Any:
    """What Docker knows of an image or a container."""
    return json.loads(run("docker", kind, "inspect", name))[0]


def inside(container: str, script: str) -> str:
    """What a script in the container says."""
    return run("docker", "exec", container, "/bin/sh", "-c", script)


def test_an_image_says_what_it_is_and_how_to_ask_it(image: str, report: Report) -> None:
    found = inspected("image", image)
    config = found["Config"]
    report.sizes[image] = found["Size"]

    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.title"] == "Holdfast"
    assert config["Labels"]["org.opencontainers.image.revision"] == run("git", "rev-parse", "HEAD")


def test_a_container_is_well_without_any_privilege(container: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while (state := inspected("container", container)["State"])["Health"]["Status"] != "healthy":
        assert state["Running"], run("docker", "logs", container)
        assert time.monotonic() < deadline, state["Health"]
        time.sleep(1)

    assert inside(container, "id -u; id -g").split() == ["10001", "10001"]
    assert inside(container, "grep -E 'CapEff|NoNewPrivs' /proc/1/status").split()[1::2] == ["0" * 16, "1"]


def test_nobody_writes_where_the_code_is(container: str) -> None:
    tried = "for place in / /opt/holdfast /usr /etc; do touch $place/x 2>/dev/null && echo $place; done; true"

    assert inside(container, tried) == ""
    assert inside(container, "touch /tmp/x /var/lib/holdfast/x && echo done") == "done"


def test_there_is_nothing_to_build_or_to_fetch_with(container: str) -> None:
    for_tools = f"for tool in {' '.join(TOOLS)}; do command -v $tool; done; true"
    for_modules = f"for each in {' '.join(MODULES)}; do python3 -c 'import '$each 2>/dev/null && echo $each; done; true"

    assert inside(container, for_tools) == ""
    assert inside(container, for_modules) == ""
    assert inside(container, for_modules.replace("python3", "/opt/holdfast/bin/python3")) == ""


def test_sigterm_ends_it(container: str) -> None:
    first = inside(container, "cat /proc/1/comm")

    run("docker", "stop", f"--time={GRACE:g}", container)
    state = inspected("container", container)["State"]

    assert (first, state["ExitCode"], state["OOMKilled"]) == ("tini", 0, False)


@pytest.mark.parametrize("name", ["worker-native", pytest.param("worker-claude-code", marks=pytest.mark.whole)])
def test_commands_of_agents_run_in_a_sandbox_where_the_profile_allows_it(name: str, engine: None) -> None:
    allowed = (*RESTRICTED, f"--security-opt=seccomp={PROFILE}", "--security-opt=systempaths=unconfined")
    command = ("docker", "run", "--rm", "--entrypoint=python3")

    ran = run(*command, *allowed, built(name), "-c", SHELL)
    refused = run(*command, *RESTRICTED, built(name), "-c", SHELL)

    assert ran.splitlines() == ["10001", "/workspace", "1"]
    assert refused.startswith("Shell tools (and MCP servers) need bubblewrap, which cannot start here: ")
