"""One execution that cannot be reconciled holds up no other, and nobody is asked too often."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs

from control_plane.errors import TemporalUnavailable
from control_plane.gateway import TERMINATED, TemporalGateway
from control_plane.temporal import connect
from runtimes.turns import ExecutionEnd
from runtimes.types import ExecutionError
from tests.control_plane.installation import Installation, installed


class Temporal(TemporalGateway):
    """Is asked for ends, and gives what the test wants; nothing can be started."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ends: dict[str, Exception | None] = {}

    async def start(self, *_: object, **__: object) -> None:
        raise TemporalUnavailable("Temporal cannot be reached.")

    async def end_of(
        self, workflow_id: str, first_run_id: str | None
    ) -> tuple[ExecutionEnd | None, ExecutionError | None]:
        self.asked.append(workflow_id)
        if workflow_id not in self.ends:
            return ExecutionEnd.FAILED, TERMINATED
        if (failure := self.ends[workflow_id]) is not None:
            raise failure
        return None, None


@pytest.fixture
def temporal() -> Temporal:
    return Temporal()


@pytest.fixture
async def installation(postgres_url: str, temporal: Temporal) -> AsyncGenerator[Installation]:
    async with installed(postgres_url, temporal) as installation:
        yield installation


async def reconcile(installation: Installation) -> int:
    """One pass, when everything is old enough."""
    await asyncio.sleep(0.05)
    return await installation.reconciler.reconcile()


@pytest.mark.parametrize("failure", [TemporalUnavailable("It is away."), RuntimeError("Nobody expected this.")])
async def test_an_execution_that_fails_is_put_off_and_the_others_are_settled(
    installation: Installation, temporal: Temporal, failure: Exception
) -> None:
    bad, *good = [await installation.accept() for _ in range(3)]
    temporal.ends[bad["workflow_id"]] = failure

    with capture_logs() as logs:
        settled = await reconcile(installation)

    assert settled == 2
    assert [(await installation.get(one["id"]))["status"] for one in (bad, *good)] == ["queued", "failed", "failed"]
    (told,) = [entry for entry in logs if entry.get("execution_id") == bad["id"]]
    assert ("exc_info" in told) == isinstance(failure, RuntimeError)
    assert await reconcile(installation) == 0
    assert temporal.asked.count(bad["workflow_id"]) == 2


async def test_the_reconciler_goes_on_whatever_fails(installation: Installation, temporal: Temporal) -> None:
    bad = await installation.accept()
    temporal.ends[bad["workflow_id"]] = RuntimeError("Nobody expected this.")
    running = asyncio.create_task(installation.reconciler.run())
    while len(temporal.asked) < 2:
        await asyncio.sleep(0.01)

    del temporal.ends[bad["workflow_id"]]

    while (await installation.get(bad["id"]))["status"] != "failed":
        await asyncio.sleep(0.01)
    running.cancel()


async def test_a_waiting_execution_is_looked_at_once_a_minute(installation: Installation, temporal: Temporal) -> None:
    queued = await installation.accept()
    waiting = await installation.accept(prompt=None, interactive=True)
    temporal.ends = {queued["workflow_id"]: None, waiting["workflow_id"]: None}

    for _ in range(3):
        await reconcile(installation)

    assert waiting["status"] == "waiting"
    assert temporal.asked.count(queued["workflow_id"]) == 3
    assert temporal.asked.count(waiting["workflow_id"]) == 1


async def test_an_api_that_never_reached_temporal_keeps_what_it_accepts(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    async with installed(postgres_url, TemporalGateway(await connect(lazy=True))) as installation:
        accepted = await installation.accept()
        ready = await installation.http.get("/health/ready")

    assert "temporal_unavailable" in [warning["code"] for warning in accepted["warnings"]]
    assert (ready.status_code, ready.json()["code"]) == (503, "temporal_unavailable")
