"""Worker pools over REST: shown with their workers, and drained."""

from typing import Any
from uuid import uuid4

import pytest

from tests.control_plane.api.organizations import Organization, code, new_organization
from tests.control_plane.installation import Installation

POOLS = "/api/v1/worker-pools"


def announcement(worker_id: str, **other: Any) -> dict[str, Any]:
    """A worker's sign of life."""
    return {
        "worker_id": worker_id,
        "pool": "mixed",
        "task_queue": "holdfast.mixed",
        "kind": "runtime",
        "host": "here",
        "pid": 7,
        "version": "1",
        "slots": 8,
        "running": 2,
        "runtimes": [{"name": "native", "title": "Native", "version": "1", "capabilities": ["tools"]}],
        "memory_limit": 4_000_000_000,
        "memory_used": 500_000_000,
    } | other


async def announce(installation: Installation, owner: Organization, worker_id: str, **other: Any) -> bool:
    """Announce a worker; whether it is told to drain."""
    body = announcement(worker_id, **other)
    answer = await installation.http.post("/internal/v1/workers", json=body, headers=owner.auth("worker"))
    assert answer.status_code == 200, answer.text
    return answer.json()["drain"]


async def drain(installation: Installation, pool: str, **query: str) -> Any:
    return await installation.http.post(f"{POOLS}/{pool}/drain", params=query)


async def test_a_pool_is_shown_with_its_workers(installation: Installation) -> None:
    await announce(installation, installation.owner, "one", build_id="a", deployment="agents")
    await announce(installation, installation.owner, "two", slots=4, running=0)

    shown = (await installation.http.get(f"{POOLS}/mixed")).json()

    assert (shown["workers"], shown["slots"], shown["running"], shown["build_ids"]) == (2, 12, 2, ["a"])
    one = shown["live_workers"][0]
    assert (one["id"], one["host"], one["pid"], one["deployment"], one["build_id"]) == ("one", "here", 7, "agents", "a")
    assert (one["memory_limit"], one["memory_used"]) == (4_000_000_000, 500_000_000)
    assert one["runtimes"] == [{"name": "native", "version": "1", "capabilities": ["tools"]}]


async def test_workers_of_a_drained_pool_hear_of_it_whenever_they_come_back(installation: Installation) -> None:
    await announce(installation, installation.owner, "one")

    drained = await drain(installation, "mixed")

    assert drained.status_code == 202
    assert (drained.json()["draining"], drained.json()["workers"]) == (1, 1)
    assert drained.json()["live_workers"][0]["drain_requested_by"] == "test"
    assert await announce(installation, installation.owner, "one")


async def test_workers_that_start_after_the_drain_serve_the_pool(installation: Installation) -> None:
    await announce(installation, installation.owner, "old")
    await drain(installation, "mixed")

    assert not await announce(installation, installation.owner, "new")
    assert (await installation.http.get(f"{POOLS}/mixed")).json()["draining"] == 1


async def test_a_build_alone_is_drained(installation: Installation) -> None:
    await announce(installation, installation.owner, "one", build_id="a")
    await announce(installation, installation.owner, "two", build_id="b")

    await drain(installation, "mixed", build_id="a")

    assert await announce(installation, installation.owner, "one", build_id="a")
    assert not await announce(installation, installation.owner, "two", build_id="b")
    assert code(await drain(installation, "mixed", build_id="c")) == (404, "not_found")


async def test_only_who_runs_a_pool_drains_it(installation: Installation, postgres_url: str) -> None:
    other = await new_organization(postgres_url, "other")
    await announce(installation, installation.owner, "one")

    refused = await installation.http.post(f"{POOLS}/mixed/drain", headers=other.auth())
    writing = await installation.http.post(f"{POOLS}/mixed/drain", headers=installation.owner.auth("write"))

    assert code(refused) == (403, "operator_only")
    assert code(writing) == (403, "scope_missing")
    assert not await announce(installation, installation.owner, "one")


async def test_an_organization_drains_its_own_workers_alone(installation: Installation, postgres_url: str) -> None:
    other = await new_organization(postgres_url, "other")
    await announce(installation, installation.owner, "operator's")
    await announce(installation, other, "own")

    drained = await installation.http.post(f"{POOLS}/mixed/drain", headers=other.auth())

    assert drained.status_code == 202
    assert await announce(installation, other, "own")
    assert not await announce(installation, installation.owner, "operator's")


async def test_a_pool_that_nobody_serves_is_not_found(installation: Installation) -> None:
    unknown = uuid4().hex

    assert code(await installation.http.get(f"{POOLS}/{unknown}")) == (404, "not_found")
    assert code(await drain(installation, unknown)) == (404, "not_found")


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", ".a", "ä", "a:b", "x" * 64, "a\n"])
async def test_a_name_that_no_queue_can_have_is_refused(installation: Installation, name: str) -> None:
    body = announcement("one", pool=name)

    answer = await installation.http.post("/internal/v1/workers", json=body, headers=installation.owner.auth("worker"))

    assert answer.status_code == 422
