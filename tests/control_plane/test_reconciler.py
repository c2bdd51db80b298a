"""One execution that cannot be reconciled holds up no other, and nobody is asked too often."""

import asyncio

import psycopg
import pytest
from structlog.testing import capture_logs

from control_plane.errors import TemporalUnavailable
from control_plane.gateway import TERMINATED, TemporalGateway
from control_plane.temporal import connect
from runtimes.turns import ExecutionEnd
from runtimes.types import ExecutionError
from services.control_plane_client.models import AttemptEnd
from tests.control_plane.api.organizations import UNKNOWN
from tests.control_plane.installation import Installation, installed
from tests.control_plane.turns import Temporal as Suspended


class Temporal(TemporalGateway):
    """Is asked for ends, and gives what the test wants; nothing can be started."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ends: dict[str, Exception | None] = {}

    async def hold_namespace(self) -> None:
        """It is nobody else's."""

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
    await asyncio.wait([running])


async def test_a_waiting_execution_is_looked_at_once_a_minute(installation: Installation, temporal: Temporal) -> None:
    queued = await installation.accept()
    waiting = await installation.accept(prompt=None, interactive=True)
    temporal.ends = {queued["workflow_id"]: None, waiting["workflow_id"]: None}

    for _ in range(3):
        await reconcile(installation)

    assert waiting["status"] == "waiting"
    assert temporal.asked.count(queued["workflow_id"]) == 3
    assert temporal.asked.count(waiting["workflow_id"]) == 1


async def test_a_suspended_turn_is_told_once_that_it_need_not_wait(postgres_url: str) -> None:
    temporal = Suspended()
    async with installed(postgres_url, temporal) as installation:
        turn, child = await installation.turn(), await installation.turn()
        decided, overdue = await turn.ask(), await child.ask(expires=0.02)
        await turn.suspend(decided, child.execution["id"])
        await child.suspend(overdue, UNKNOWN)
        for _ in range(2):
            await reconcile(installation)
        await turn.http.post(f"/api/v1/approvals/{decided}/approve", json={})
        end = {"organization_id": str(child.owner.id), "end": ExecutionEnd.FAILED}
        temporal.told.clear()
        await reconcile(installation)
        before = list(temporal.told)
        await turn.http.post(f"{child.path}/finish", json=end, headers=turn.owner.auth("worker"))
        await make_due(postgres_url)
        await reconcile(installation)
        await reconcile(installation)

    workflow = turn.execution["workflow_id"]
    assert before == []
    assert [(told, sorted(waits)) for told, waits in temporal.told] == [
        (workflow, sorted([decided, child.execution["id"]]))
    ]


async def test_an_overdue_decision_wakes_its_turn(postgres_url: str) -> None:
    temporal = Suspended()
    async with installed(postgres_url, temporal) as installation:
        turn = await installation.turn()
        overdue, pending = await turn.ask(expires=0.001), await turn.ask()
        await turn.suspend(overdue, pending)
        for _ in range(2):
            await reconcile(installation)

    assert temporal.told == [(turn.execution["workflow_id"], [overdue])]


async def make_due(url: str) -> None:
    """Let an hour pass."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("UPDATE executions SET reconciled_at = now() - interval '1 hour'")


async def test_an_api_that_never_reached_temporal_keeps_what_it_accepts(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    async with installed(postgres_url, TemporalGateway(await connect(lazy=True))) as installation:
        accepted = await installation.accept()
        ready = await installation.http.get("/health/ready")

    assert "temporal_unavailable" in [warning["code"] for warning in accepted["warnings"]]
    assert (ready.status_code, ready.json()["code"]) == (503, "temporal_unavailable")


async def test_workers_that_are_long_gone_are_forgotten(installation: Installation, postgres_url: str) -> None:
    for pool in ("gone", "quiet"):
        await installation.announce(pool, "native")
    async with await psycopg.AsyncConnection.connect(postgres_url.replace("+psycopg", "")) as connection:
        for pool, seen in (("gone", "25 hours"), ("quiet", "23 hours")):
            await connection.execute("UPDATE workers SET seen_at = now() - %s::interval WHERE pool = %s", (seen, pool))

    await reconcile(installation)

    async with await psycopg.AsyncConnection.connect(postgres_url.replace("+psycopg", "")) as connection:
        rows = await (await connection.execute("SELECT pool FROM workers ORDER BY pool")).fetchall()
    assert [pool for (pool,) in rows] == ["quiet", "scripted"]


async def test_messages_that_their_workflow_forgot_are_sent_again_in_order(postgres_url: str) -> None:
    async with installed(postgres_url, temporal := Suspended()) as installation:
        turn = await installation.turn(interactive=True)
        url = f"/api/v1/executions/{turn.execution['id']}/messages"
        sent = [(await installation.http.post(url, json={"content": word})).json()["message_id"] for word in "abc"]
        await turn.close(AttemptEnd.COMPLETED, response="done")
        too_early = await reconcile(installation)
        async with await psycopg.AsyncConnection.connect(postgres_url.replace("+psycopg", "")) as connection:
            await connection.execute("UPDATE messages SET created_at = created_at - interval '1 hour'")
            await connection.execute("UPDATE messages SET turn = 0 WHERE content = 'b'")
            await connection.execute("UPDATE executions SET reconciled_at = now() - interval '1 hour'")
        temporal.sent.clear()

        told = await reconcile(installation)

    assert (too_early, told, temporal.sent) == (0, 2, [sent[0], sent[2]])
