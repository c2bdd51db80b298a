"""An API in the test's own process, on a database of its own: to be looked at from inside."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import httpx

from control_plane.api.app import create_app
from control_plane.api.credentials import Credentials
from control_plane.api.state import ApiState
from control_plane.events.hub import EventHub
from control_plane.gateway import TemporalGateway
from control_plane.reconciler import Reconciler
from control_plane.settings import Settings
from db.session import Database, create_engine
from runtimes.manifests.known import KNOWN
from tests.control_plane.api.organizations import Organization, operator
from tests.control_plane.turns import Turn

AGENT = {"name": "demo", "model_id": "none", "runtime": "scripted"}


@dataclass
class Installation:
    """An API without its background tasks; the test reconciles."""

    http: httpx.AsyncClient
    state: ApiState
    owner: Organization

    @property
    def reconciler(self) -> Reconciler:
        """A reconciler of this installation."""
        return Reconciler(self.state)

    async def announce(self, pool: str, *runtimes: str, **more: Any) -> None:
        """Show the sign of life of a pool's worker."""
        announcement = {
            "worker_id": f"worker-of-{pool}",
            "pool": pool,
            "task_queue": f"holdfast.{pool}",
            "kind": "runtime",
            "host": "here",
            "pid": 1,
            "version": "0.1.0",
            "slots": 10,
            "running": 0,
            "runtimes": more.pop("runtimes", None) or [_served(name) for name in runtimes or (pool,)],
        }
        headers = self.owner.auth("worker")
        answer = await self.http.post("/internal/v1/workers", json=announcement | more, headers=headers)
        assert answer.is_success, answer.text

    async def accept(self, **body: Any) -> dict[str, Any]:
        """Post an execution of the agent."""
        answer = await self.http.post("/api/v1/executions", json={"agent_id": "demo", "prompt": "x"} | body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def turn(self, **body: Any) -> Turn:
        """The first turn of a new execution, opened."""
        turn = Turn(self.http, self.owner, await self.accept(**body))
        await turn.open()
        return turn

    async def log(self, execution: str) -> list[dict[str, Any]]:
        """The event log as it is now."""
        answer = await self.http.get(f"/api/v1/executions/{execution}/events", params={"follow": "false"})
        return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    async def get(self, execution: str) -> dict[str, Any]:
        """The execution as the API shows it."""
        return (await self.http.get(f"/api/v1/executions/{execution}")).json()


def _served(runtime: str) -> dict[str, Any]:
    """What a worker says of a runtime that it has as it is installed here."""
    return {"name": runtime, "title": runtime, "version": version(KNOWN[runtime].package), "capabilities": ["tools"]}


@asynccontextmanager
async def installed(url: str, gateway: TemporalGateway) -> AsyncGenerator[Installation]:
    """The installation with one agent and a pool for it; it reconciles what is older than 10 ms."""
    settings = Settings(database_url=url, reconcile_interval_seconds=0.01)  # pyright: ignore[reportArgumentType]
    database = Database(create_engine(url, role="holdfast_app", pool_size=2))
    state = ApiState(settings, database, Credentials(database), gateway, EventHub(url))
    owner = await operator(url)
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=owner.auth()) as http:
        await http.post("/api/v1/agents", json=AGENT)
        installation = Installation(http, state, owner)
        await installation.announce("scripted")
        yield installation
    await database.close()
