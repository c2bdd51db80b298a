"""The least that Temporal can do durably: one workflow, one activity, eleven events."""

import time
from datetime import timedelta

from temporalio import activity, workflow

BARE_QUEUE = "benchmark-bare"


@activity.defn
async def answer(prompt: str) -> float:
    """Does nothing; gives the moment at which it did it, in seconds since the epoch."""
    return time.time()


@workflow.defn
class BareWorkflow:
    """Runs the activity."""

    @workflow.run
    async def run(self, prompt: str) -> float:
        """The activity's answer."""
        return await workflow.execute_activity(answer, prompt, start_to_close_timeout=timedelta(minutes=1))
