"""Pools with real workers: what they serve, what they say of themselves, how they are drained."""

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from services.control_plane_client.models import DRAIN, ControlCommand
from tests.conftest import NewStack
from tests.control_plane.api.test_pools import announcement
from tests.control_plane.cli.conftest import HOLDFAST, Cli
from tests.stack import Process, Stack


@pytest.fixture(scope="module")
async def own(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack(settings={"HOLDFAST_WORKER_GRACE_SECONDS": "0.2"}) as stack:
        yield stack


@pytest.fixture
def cli(own: Stack, tmp_path: Path) -> Cli:
    return Cli(tmp_path, own.api_url, own.api_key)


def pool_worker(stack: Stack, pool: str, runtimes: str, name: str = "") -> Process:
    """A worker of a pool that serves several runtimes."""
    worker = stack.add_worker(pool, name or pool)
    worker.command = [*worker.command, "--runtimes", runtimes]
    return worker


async def until_live(stack: Stack, pool: str) -> None:
    async def is_live() -> bool:
        return (await stack.http.get(f"/api/v1/worker-pools/{pool}")).is_success

    await stack.until(is_live)


async def test_a_worker_serves_the_runtimes_that_it_is_given_and_says_what_it_has(own: Stack, cli: Cli) -> None:
    worker = pool_worker(own, "gpu.eu-1", "native,scripted,native")
    worker.start()
    await until_live(own, "gpu.eu-1")

    (shown,) = cli.json("pools", "show", "gpu.eu-1")["live_workers"]

    assert [runtime["name"] for runtime in shown["runtimes"]] == ["native", "scripted"]
    assert (shown["pid"], shown["running"], shown["build_id"]) == (worker.pid, 0, "")
    assert 0 < shown["memory_used"] < shown["memory_limit"]
    assert "serving" in cli("pools", "show", "gpu.eu-1").stdout
    worker.stop()


async def test_a_worker_of_unlike_runtimes_takes_more_than_would_fit_of_the_dearest(own: Stack) -> None:
    worker = pool_worker(own, "native", "native,claude_code")
    worker.start()
    await until_live(own, "native")
    await own.agent("many", runtime="native")
    sure = (await own.http.get("/api/v1/worker-pools/native")).json()["slots"]

    executions = [await own.start("[[hang]]", "many") for _ in range(sure + 2)]
    for execution in executions:
        await own.until_event(execution, "attempt.started")

    assert sure <= 8
    for execution in executions:
        await own.http.post(f"/api/v1/executions/{execution}/cancel")
    for execution in executions:
        await own.until_status(execution, "cancelled")
    worker.stop()


async def test_a_drained_worker_hands_its_turn_to_one_that_starts_later(own: Stack, cli: Cli) -> None:
    execution = await own.start("[[emit 300 @20;; say end]]")
    await own.until_event(execution, "message.delta")
    drained = own.processes["default"]

    done = cli("pools", "drain", "default")
    heir = own.add_worker("default", "after-the-drain")
    heir.start()

    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "1 of 1 workers drain.")
    assert await asyncio.to_thread(drained.wait, 60) == 0
    assert (await own.result(execution, 90))["response"].endswith("tok300 end")
    assert "attempt.preempted" in await own.types(execution)


async def test_a_worker_that_was_cut_off_hears_of_a_drain_as_soon_as_it_listens(own: Stack) -> None:
    key = {"Authorization": f"Bearer {own.worker_key}"}
    body = announcement("cut-off", pool="cut-off", task_queue="holdfast.cut-off")
    assert (await own.http.post("/internal/v1/workers", json=body, headers=key)).is_success
    assert (await own.http.post("/api/v1/worker-pools/cut-off/drain")).is_success

    async with own.http.stream("GET", "/internal/v1/workers/cut-off/control", headers=key) as stream:
        told = await anext(line async for line in stream.aiter_lines() if line.startswith("data: "))

    assert ControlCommand.model_validate_json(told.removeprefix("data: ")) == DRAIN


@pytest.fixture
def broken_frameworks(tmp_path: Path) -> dict[str, str]:
    """Settings of a worker that knows a runtime that cannot be imported, and one of another Python."""
    file = tmp_path / "frameworks.yaml"
    modules = [f"tests.runtimes.sample_manifests:{name}" for name in ("UNLOADABLE", "OF_ANOTHER_PYTHON")]
    file.write_text(f"frameworks: {{discovery: {{modules: {modules}}}}}")
    return {"HOLDFAST_FRAMEWORKS_FILE": str(file), "PYTHONPATH": str(Path(__file__).parents[3])}


async def test_a_worker_announces_only_what_it_could_load_and_says_what_it_could_not(
    own: Stack, cli: Cli, broken_frameworks: dict[str, str]
) -> None:
    named = ("--runtimes", "unloadable,scripted,another-python")
    worker = own.add_worker("half", None, *named, **broken_frameworks)
    worker.start()
    await until_live(own, "half")

    (shown,) = cli.json("pools", "show", "half")["live_workers"]
    execution = await own.start("[[say hi]]", (await own.agent("halved", runtime="scripted"))["name"])

    assert [runtime["name"] for runtime in shown["runtimes"]] == ["scripted"]
    assert (await own.get(execution))["task_queue"] == "holdfast.half"
    assert (await own.result(execution))["response"] == "hi"
    log = worker.log.read_text()
    assert log.count("runtime is not served") == 2
    assert "No module named 'no_such_framework'" in log
    assert "it was made for >=4." in log
    worker.stop()


def test_a_worker_that_can_load_nothing_ends_and_says_why(tmp_path: Path, broken_frameworks: dict[str, str]) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HOLDFAST_API_URL": "http://127.0.0.1:9"}
    command = [HOLDFAST, "worker", "--pool", "nothing", "--runtimes", "unloadable,another-python"]

    done = subprocess.run(
        command, env=environment | broken_frameworks, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2, done.stderr
    assert "Runtime 'unloadable' cannot be used here" in done.stderr
    assert "Runtime 'another-python' cannot be used under Python" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pool", "a/b"), "'a/b' is no name of a pool."),
        (("--pool", "workflows"), "runs workflows, no turns"),
        (("--pool", "nobodys"), "holdfast worker --pool nobodys --runtimes "),
        (("--pool", "mixed", "--runtimes", "native,langraph"), "Did you mean 'langgraph'?"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_starts(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HOLDFAST_API_URL": "http://127.0.0.1:9"}

    done = subprocess.run(
        [HOLDFAST, "worker", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
