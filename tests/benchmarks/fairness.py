"""What one organization waits for behind the flood of another one, and what it would without fairness."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.benchmarks.report import Result
from tests.benchmarks.system import NATIVE, System
from tests.control_plane.api.organizations import Organization, new_organization, operator
from tests.stack import Process

FLOOD = 500
SLOTS = 4
#: Requests at once while the flood comes.
IN_FLIGHT = 20
BODY = {"agent_id": NATIVE, "prompt": "[[wait 0.1;; say done]]"}


@dataclass(frozen=True)
class Fairness:
    """Seconds in the queue: of another organization's one execution, and of the flooding one's last."""

    other: float
    last: float

    def results(self) -> list[Result]:
        """The figures."""
        return [Result.of(f"wait_behind_{FLOOD}_s", self.other, "s", self.last)]


async def measure(system: System) -> Fairness:
    """All is queued before the worker may take any; without fairness both would wait for the whole flood."""
    url = system.stack.database_url
    flooding, other = await operator(url), await new_organization(url, "patient")
    agent = {"name": NATIVE, "runtime": "native", "model_id": "scripted/scripted"}
    await system.stack.http.post("/api/v1/agents", json=agent, headers=other.auth())
    async with system.worker("native", {"HOLDFAST_WORKER_SLOTS": str(SLOTS)}) as worker:
        flood, last, one = await _queued(system, worker, flooding, other)
        ended = [await _ended(system, other, one), await _ended(system, flooding, last)]
        await asyncio.gather(*(_ended(system, flooding, each) for each in flood))
    return Fairness(*(_waited(execution) for execution in ended))


async def _queued(
    system: System, worker: Process, flooding: Organization, other: Organization
) -> tuple[list[str], str, str]:
    """The flood, the flooding organization's last, and the other one's."""
    free = asyncio.Semaphore(IN_FLIGHT)
    worker.pause()
    try:
        flood = await asyncio.gather(*(_start(system, flooding, free) for _ in range(FLOOD)))
        last, one = await _start(system, flooding, free), await _start(system, other, free)
        await asyncio.sleep(1)
    finally:
        worker.resume()
    return flood, last, one


async def _start(system: System, owner: Organization, free: asyncio.Semaphore) -> str:
    async with free:
        answer = await system.stack.http.post("/api/v1/executions", json=BODY, headers=owner.auth())
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def _ended(system: System, owner: Organization, execution: str) -> dict[str, Any]:
    path = f"/api/v1/executions/{execution}"
    while (await system.stack.http.get(f"{path}/result", params={"wait": 60}, headers=owner.auth())).status_code != 200:
        pass
    return (await system.stack.http.get(path, headers=owner.auth())).json()


def _waited(execution: dict[str, Any]) -> float:
    begin, end = (datetime.fromisoformat(execution[name]) for name in ("created_at", "started_at"))
    return (end - begin).total_seconds()
