"""Two builds of the workers: what began on one stays on it, what is new goes to the other, what talks on moves."""

import asyncio
from typing import Any

import pytest

from tests.builds import build, build_of, make_current, say
from tests.conftest import NewStack
from tests.stack import Stack

VERSIONED = {"TEMPORAL_WORKER_BUILD_ID": "a"}


@pytest.fixture
async def deployed(new_stack: NewStack) -> Any:
    """Build `a` of everything is current."""
    async with new_stack(settings=VERSIONED) as stack:
        for deployment in ("holdfast", "holdfast-default"):
            await make_current(stack, deployment, "a")
        yield stack


async def test_a_rolled_workflow_worker_keeps_what_runs_and_gets_what_is_new(deployed: Stack) -> None:
    talking = await deployed.start("[[say one]]", interactive=True)
    await deployed.until_status(talking, "waiting")
    running = await deployed.start("[[hang]]")
    await deployed.until_event(running, "attempt.started")

    build(deployed, "workflows-b", "b", "--workflows")
    await make_current(deployed, "holdfast", "b")
    new = await deployed.start("[[say new]]")
    await deployed.result(new)
    await say(deployed, talking, "[[say two]]")
    await deployed.http.post(f"/api/v1/executions/{running}/cancel")
    await deployed.until_status(running, "cancelled")

    assert [await build_of(deployed, each) for each in (new, running, talking)] == ["b", "a", "b"]

    deployed.processes["workflows"].kill()
    await say(deployed, talking, "[[history]]")
    await deployed.http.post(f"/api/v1/executions/{talking}/close")
    assert (await deployed.result(talking))["response"].startswith("user: [[say one]]\nassistant: one")


async def test_a_rolled_pool_gets_the_turns_of_executions_that_began_before(deployed: Stack) -> None:
    talking = await deployed.start("[[say one]]", interactive=True)
    await deployed.until_status(talking, "waiting")

    build(deployed, "default-b", "b", "--pool", "default")
    await make_current(deployed, "holdfast-default", "b")
    await deployed.http.post("/api/v1/worker-pools/default/drain", params={"build_id": "a"})
    await asyncio.to_thread(deployed.processes["default"].wait, 60)
    await say(deployed, talking, "[[say two]]")

    started = [
        event["data"]["worker_id"] for event in await deployed.log(talking) if event["type"] == "attempt.started"
    ]
    workers = (await deployed.http.get("/api/v1/worker-pools/default")).json()["live_workers"]
    builds = {worker["id"]: worker["build_id"] for worker in workers}
    assert [builds.get(worker) for worker in started] == ["a", "b"]
    assert {worker["deployment"] for worker in workers} == {"holdfast-default"}
