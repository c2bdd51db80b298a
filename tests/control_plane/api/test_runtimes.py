"""What is said of runtimes: of those that are known beside the API, and of those that workers alone know."""

from typing import Any

import httpx

from tests.control_plane.api.organizations import Organization, code
from tests.runtimes.sample_manifests import ACME
from tests.stack import Stack

RUNTIMES = "/api/v1/runtimes"


async def test_a_runtime_is_described_by_its_manifest_and_its_workers(stack: Stack) -> None:
    default = (await stack.http.get(f"{RUNTIMES}/default")).json()

    assert default["origin"] == "built in"
    assert default["requirement"] == "holdfast[agno]"
    assert default["live"]
    assert default["pools"] == ["default"]
    assert default["installed_version"].startswith("3.1.")
    assert default["unsupported_versions"] == []
    assert default["settings"]["max_turns"] == {"type": "integer", "minimum": 1}
    assert (default["memory_mb"], default["slots"], default["contract"]) == (10, 100, 1)
    assert "chat-assistant" in default["templates"]


async def test_a_plugin_that_workers_alone_have_is_described_and_checked(
    nobody: httpx.AsyncClient, theirs: Organization
) -> None:
    await announce(nobody, theirs, "acme-1", version="2.5", manifest=ACME.model_dump(mode="json"))
    await announce(nobody, theirs, "acme-2", version="3.0", manifest=ACME.model_dump(mode="json") | {"wings": 2})

    acme = (await nobody.get(f"{RUNTIMES}/acme", headers=theirs.auth())).json()
    agent = {"name": "of-acme", "model_id": "a/b", "runtime": "acme", "configuration": {"runtime_config": {"sped": 1}}}
    refused = await nobody.post("/api/v1/agents", json=agent, headers=theirs.auth())

    assert acme["origin"] == "announced by workers"
    assert acme["requirement"] == "acme-runtime"
    assert (acme["installed_version"], acme["installed_versions"]) == ("", ["2.5", "3.0"])
    assert acme["unsupported_versions"] == ["3.0"]
    assert (acme["memory_mb"], acme["slots"], acme["workers"]) == (75, 12, 2)
    assert code(refused) == (422, "option_unsupported")
    assert "Did you mean 'speed'?" in refused.json()["detail"]


async def test_a_worker_without_a_manifest_is_live_all_the_same(
    nobody: httpx.AsyncClient, theirs: Organization
) -> None:
    await announce(nobody, theirs, "plain-1", name="plain", version="1", manifest={"name": "something else"})

    plain = (await nobody.get(f"{RUNTIMES}/plain", headers=theirs.auth())).json()

    assert (plain["live"], plain["title"], plain["slots"]) == (True, "Acme", None)


async def test_plugins_of_an_organization_are_its_own(
    stack: Stack, nobody: httpx.AsyncClient, theirs: Organization
) -> None:
    await announce(nobody, theirs, "acme-3", version="2.5", manifest=ACME.model_dump(mode="json"))

    assert code(await stack.http.get(f"{RUNTIMES}/acme")) == (404, "not_found")


async def test_a_worker_cannot_say_what_a_built_in_runtime_is(nobody: httpx.AsyncClient, theirs: Organization) -> None:
    false = ACME.model_copy(update={"name": "native", "title": "False"})
    await announce(nobody, theirs, "false-1", name="native", version="9", manifest=false.model_dump(mode="json"))

    native = (await nobody.get(f"{RUNTIMES}/native", headers=theirs.auth())).json()

    assert (native["title"], native["origin"]) == ("Native", "built in")
    assert "9" in native["unsupported_versions"]


async def announce(
    client: httpx.AsyncClient, organization: Organization, worker: str, *, name: str = "acme", **runtime: Any
) -> None:
    """A worker's sign of life, with one runtime."""
    body = {
        "worker_id": worker,
        "pool": name,
        "task_queue": f"holdfast.{name}",
        "kind": "runtime",
        "host": "elsewhere",
        "pid": 1,
        "version": "0.1.0",
        "slots": 1,
        "running": 0,
        "runtimes": [{"name": name, "title": "Acme", "capabilities": ["tools"]} | runtime],
    }
    answer = await client.post("/internal/v1/workers", json=body, headers=organization.auth("worker"))
    assert answer.is_success, answer.text
