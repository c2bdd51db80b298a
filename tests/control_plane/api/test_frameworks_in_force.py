"""The frameworks file beside the API: what it says holds, and what it says next holds without a restart."""

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.control_plane.api.organizations import Organization
from tests.stack import Stack, free_port

FILE = """
frameworks:
  discovery:
    modules: ["tests.runtimes.sample_manifests:ACME", "tests.runtimes.sample_manifests:TAKEN"]
  default_framework: {default}
  framework_specific:
    scripted: {{timeout_seconds: 1}}
    native: {{max_concurrent_executions: {slots}, weight: 7}}
"""


@dataclass(frozen=True)
class Api:
    """A replica of the API, with a frameworks file."""

    http: httpx.AsyncClient
    file: Path

    def write(self, text: str) -> None:
        """Put another version in the file's place."""
        self.file.with_suffix(".new").write_text(text)
        os.replace(self.file.with_suffix(".new"), self.file)

    async def runtime(self, name: str) -> dict[str, Any]:
        """A runtime as it is described."""
        return (await self.http.get(f"/api/v1/runtimes/{name}")).json()


@pytest.fixture(scope="module")
async def api(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Api]:
    """The replica."""
    port, file = free_port(), tmp_path_factory.mktemp("frameworks") / "frameworks.yaml"
    file.write_text(version())
    root = str(Path(__file__).parents[3])
    environment = stack.api_environment(port) | {"HOLDFAST_FRAMEWORKS_FILE": str(file), "PYTHONPATH": root}
    process = stack.add("with-frameworks", "api", environment=environment)
    process.start()
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=70, trust_env=False) as http:
            await stack.until(lambda: _answers(http))
            yield Api(http, file)
    finally:
        process.stop()
        del stack.processes["with-frameworks"]


async def test_limits_and_plugins_are_shown(api: Api) -> None:
    native, acme = await api.runtime("native"), await api.runtime("acme")

    assert (native["slots"], native["weight"]) == (3, 7)
    assert acme["origin"] == "module tests.runtimes.sample_manifests:ACME"
    assert (acme["live"], acme["installed_version"]) == (False, "")


async def test_broken_plugins_are_the_operators_to_see(api: Api, ours: Organization, theirs: Organization) -> None:
    seen = (await api.http.get("/api/v1/runtimes", headers=ours.auth())).json()["broken"]
    hidden = (await api.http.get("/api/v1/runtimes", headers=theirs.auth())).json()["broken"]

    assert [broken["reason"] for broken in seen] == ["The name 'default' is taken: built in."]
    assert hidden == []


async def test_a_turn_gets_the_time_that_its_runtime_gets(api: Api, stack: Stack) -> None:
    await stack.agent("of-little-time", runtime="scripted")
    body = {"agent_id": "of-little-time", "prompt": "[[wait 60]]"}

    started = (await api.http.post("/api/v1/executions", json=body)).json()
    result = await stack.result(started["id"])

    assert result["error"]["code"] == "turn_timed_out"


async def test_a_new_version_holds_without_a_restart(api: Api, stack: Stack) -> None:
    async def has_slots(slots: int) -> bool:
        return (await api.runtime("native"))["slots"] == slots

    api.write(version(slots=4))
    await stack.until(lambda: has_slots(4))

    api.write("frameworks: [broken]")
    api.write(version(slots=5))
    await stack.until(lambda: has_slots(5))


async def test_an_agent_that_names_no_runtime_gets_the_default_of_now(api: Api, stack: Stack) -> None:
    await stack.agent("of-no-runtime", system_prompt="Be brief.")

    async def runs_on(runtime: str) -> bool:
        body = {"agent_id": "of-no-runtime", "prompt": "[[say done]]"}
        return (await api.http.post("/api/v1/executions", json=body)).json()["runtime"] == runtime

    api.write(version(default="scripted"))
    await stack.until(lambda: runs_on("scripted"))
    api.write(version(default="default"))
    await stack.until(lambda: runs_on("default"))


async def test_a_worker_takes_as_many_turns_as_the_file_says_now(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "frameworks.yaml"
    file.write_text("frameworks: {framework_specific: {scripted: {max_concurrent_executions: 3}}}")
    worker = stack.add_worker("limited")
    worker.command = (*worker.command, "--runtimes", "scripted")
    worker.environment = {**worker.environment, "HOLDFAST_FRAMEWORKS_FILE": str(file)}

    async def has_slots(slots: int) -> bool:
        pools = (await stack.http.get("/api/v1/worker-pools")).json()["items"]
        return [pool["slots"] for pool in pools if pool["pool"] == "limited"] == [slots]

    worker.start()
    try:
        await stack.until(lambda: has_slots(3))
        file.write_text("frameworks: {framework_specific: {scripted: {max_concurrent_executions: 5}}}")
        await stack.until(lambda: has_slots(5))
    finally:
        worker.stop()
        del stack.processes["limited"]


def version(slots: int = 3, default: str = "default") -> str:
    """A version of the file."""
    return FILE.format(slots=slots, default=default)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/ready")).is_success
    except httpx.TransportError:
        return False
