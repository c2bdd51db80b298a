"""Workers of several builds, and what the deploy step tells Temporal of them."""

import asyncio
from typing import Any

from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.service import RPCError

from tests.stack import Process, Stack


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
