"""Two builds of the workers: what began on one stays on it, what is new goes to the other, what talks on moves."""

import asyncio
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.service import RPCError

from tests.conftest import NewStack
from tests.stack import Process, Stack

VERSIONED = {"TEMPORAL_WORKER_BUILD_ID": "a"}


async def make_current(stack: Stack, deployment: str, build: str) -> None:
    """What the deploy step does; Temporal has to have heard of the build's workers before."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name=deployment, build_id=build, identity="tests"
    )

    async def is_accepted() -> bool:
        try:
            await stack.temporal.workflow_service.set_worker_deployment_current_version(request)
        except RPCError:
            return False
        return True

    await stack.until(is_accepted)


def build(stack: Stack, name: str, build_id: str, *options: str) -> Process:
    """A worker of another build."""
    worker = stack.add(name, "worker", *options)
    given = stack.processes["default"].environment
    worker.environment = {**given, "TEMPORAL_WORKER_BUILD_ID": build_id}
    worker.start()
    return worker


async def build_of(stack: Stack, execution: str) -> str:
    """The build that the execution's present run is on."""
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    described = (await handle.describe()).raw_description.workflow_execution_info
    return described.versioning_info.deployment_version.build_id


async def say(stack: Stack, execution: str, content: str) -> dict[str, Any]:
    """Send a message, and give the answer's event."""
    last = (await stack.get(execution))["last_seq"]
    await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": content})
    async with asyncio.timeout(60), stack.stream(execution, after=str(last)) as events:
        async for event in events:
            if event["type"] == "turn.completed":
                return event
    raise AssertionError("There was no answer.")


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
