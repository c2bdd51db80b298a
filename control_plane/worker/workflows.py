"""The workflow worker: runs workflows and light bookkeeping."""

from datetime import timedelta
from functools import partial

import pydantic
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.execution_activities import ExecutionActivities
from activities.queues import WORKFLOW_QUEUE
from control_plane.settings import Settings
from control_plane.tracing import Tracing
from control_plane.worker.process import HAND_BACK, announcement_of, run_process, serve, worker_process
from control_plane.worker.slots import WORKFLOW_SLOTS, Capacity
from control_plane.worker.versions import deployment_of
from runtimes.pools import WORKFLOWS
from services.cancellation import CancellationManager
from workflows.agent_execution import AgentExecutionWorkflow

#: In traces.
SERVICE = "holdfast-workflow-worker"
#: After a worker's death its cached workflows wait so long for it.
STICKY_TIMEOUT = timedelta(seconds=2)

PASSED_THROUGH = ("workflows", "activities", "runtimes", "pydantic", "pydantic_core", "annotated_types")


def run_workflow_worker(settings: Settings) -> None:
    """Serve workflows and bookkeeping until SIGTERM."""
    run_process(settings, SERVICE, partial(_serve_workflows, settings))


async def _serve_workflows(settings: Settings, traces: Tracing) -> None:
    async with worker_process(settings, WORKFLOWS, Capacity({"": WORKFLOW_SLOTS}), traces) as process:
        bookkeeping = ExecutionActivities(process.control_plane)
        worker = Worker(
            process.temporal,
            task_queue=WORKFLOW_QUEUE,
            workflows=[AgentExecutionWorkflow],
            activities=[
                bookkeeping.admit_execution,
                bookkeeping.place_execution,
                bookkeeping.interrupt_turn,
                bookkeeping.decide_approval,
                bookkeeping.finish_execution,
            ],
            workflow_runner=workflow_runner(),
            workflow_failure_exception_types=[pydantic.ValidationError],
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(),
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            graceful_shutdown_timeout=HAND_BACK,
            deployment_config=deployment_of(settings, WORKFLOW_QUEUE),
        )
        announcement = announcement_of(process, WORKFLOWS, WORKFLOW_QUEUE, "workflow")
        await serve(process, worker, announcement, CancellationManager(), [])


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox: our packages are not imported anew for each workflow, the restrictions stay."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
