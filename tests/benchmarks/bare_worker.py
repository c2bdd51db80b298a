"""The baseline's worker process: `python -m tests.benchmarks.bare_worker HOST:PORT`.

Tuned as well as we know how: sandbox passed through, autoscaling pollers, no gzip on loopback, uvloop; and, unlike
ours, workflow and activity in one process, so that the activity starts eagerly.
"""

import asyncio
import os
import signal
import sys

import uvloop
from temporalio.client import Client
from temporalio.service import GrpcCompression
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from tests.benchmarks.bare_workflow import BARE_QUEUE, BareWorkflow, answer


async def bare_client(address: str) -> Client:
    """A client without compression, which only costs on loopback."""
    return await Client.connect(address, grpc_compression=GrpcCompression.NONE)


async def serve(address: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    restrictions = SandboxRestrictions.default.with_passthrough_modules("tests")
    async with Worker(
        await bare_client(address),
        task_queue=BARE_QUEUE,
        workflows=[BareWorkflow],
        activities=[answer],
        workflow_runner=SandboxedWorkflowRunner(restrictions=restrictions),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_concurrent_activities=500,
    ):
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
    os._exit(0)
