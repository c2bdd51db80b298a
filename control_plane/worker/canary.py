"""Is this worker alive? A hung SDK core leaves the process alive, so the process cannot say so itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import ListWorkersRequest
from temporalio.client import Client
from temporalio.service import RPCError

#: How often the SDK's core tells the server of itself.
CORE_HEARTBEAT = timedelta(seconds=10)
CHECK_SECONDS = 10.0
#: Checks in a row that have to fail: a busy server may be late with one or two.
STRIKES = 6
FRESH = timedelta(seconds=45)
#: The SDK's word for a supplier of slots that is our own.
WEIGHED = "Custom"


@dataclass(frozen=True, slots=True)
class Canary:
    """Compares what Temporal knows of this worker with what it does.

    `running` counts the activities that this process runs; a core that was heard of within `fresh` lives.
    """

    client: Client
    identity: str
    running: Callable[[], int]
    fresh: timedelta = FRESH

    async def watch(self, dead: Callable[[str], None]) -> NoReturn:
        """Call `dead` with the reason when the core has hung; an unreachable server is no reason."""
        strikes = 0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            problem = await self.problem()
            strikes = strikes + 1 if problem else 0
            if problem and strikes >= STRIKES:
                dead(problem)

    async def problem(self) -> str:
        """What is wrong with this worker's core; empty if nothing is, or nothing can be known."""
        request = ListWorkersRequest(
            namespace=self.client.namespace, query=f"WorkerIdentity='{self.identity}'", page_size=10
        )
        try:
            answer = await self.client.workflow_service.list_workers(request, timeout=timedelta(seconds=5))
        except RPCError:
            return ""
        entries = [worker.worker_heartbeat for worker in answer.workers_info]
        return self._judge(max(entries, key=_heard_at, default=None))

    def _judge(self, entry: WorkerHeartbeat | None) -> str:
        if entry is None:
            return "Temporal does not list this worker."
        silence = datetime.now(UTC) - _heard_at(entry)
        if silence > self.fresh:
            return f"The SDK's core was last heard of {silence.total_seconds():.0f} s ago."
        slots, running = entry.activity_task_slots_info, self.running()
        used = slots.current_used_slots
        # Of slots that are weighed, Temporal says that none is free, whatever is so.
        if slots.slot_supplier_kind != WEIGHED and used > running and slots.current_available_slots == 0:
            return f"All slots are taken, by {used} activities of which only {running} run."
        return ""


def _heard_at(entry: WorkerHeartbeat) -> datetime:
    return entry.heartbeat_time.ToDatetime(tzinfo=UTC)
