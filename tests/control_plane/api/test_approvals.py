"""Approvals: seen as they were asked, decided once, in time, and told to the workflow."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from control_plane.errors import TemporalUnavailable
from runtimes.turns import ExecutionEnd
from services.control_plane_client.models import AttemptEnd, Step, StepKind, StepStatus
from services.turn_control import QuestionKind
from tests.control_plane.api.organizations import UNKNOWN, code, new_organization
from tests.control_plane.installation import Installation
from tests.control_plane.turns import ARGUMENTS, DIGEST, Temporal, Turn

APPROVALS = "/api/v1/approvals"


@pytest.fixture
async def turn(installation: Installation) -> Turn:
    """The first turn of an execution."""
    return await installation.turn()


async def post(turn: Turn, approval: str, verb: str, **body: Any) -> httpx.Response:
    """Decide as a person does."""
    return await turn.http.post(f"{APPROVALS}/{approval}/{verb}", json=body)


async def listed(turn: Turn, **query: Any) -> list[str]:
    """Ids in the inbox."""
    return [item["id"] for item in (await turn.http.get(APPROVALS, params=query)).json()["items"]]


async def test_the_inbox_shows_what_waits_and_each_shows_what_is_asked(turn: Turn) -> None:
    first, second = await turn.ask(), await turn.ask(QuestionKind.BUDGET, limit="tokens", value=100)
    await turn.suspend()

    page = (await turn.http.get(APPROVALS, params={"limit": 1})).json()
    rest = await listed(turn, cursor=page["next_cursor"])
    one = (await turn.http.get(f"{APPROVALS}/{first}")).json()

    assert [page["items"][0]["id"], *rest] == [first, second]
    assert (one["status"], one["agent_name"], one["digest"]) == ("pending", "demo", DIGEST)
    assert one["detail"]["arguments"] == ARGUMENTS
    assert await listed(turn, kind="budget") == [second]
    assert await listed(turn, status="approved") == []
    assert await listed(turn, execution_id=UNKNOWN) == []


async def test_an_approval_is_logged_and_told_to_the_workflow(
    turn: Turn, installation: Installation, temporal: Temporal
) -> None:
    approval = await turn.ask()
    await turn.suspend()

    answer = await post(turn, approval, "approve", note="fine", digest=DIGEST)

    assert (answer.status_code, answer.json()["status"], answer.json()["decided_by"]) == (200, "approved", "test")
    assert temporal.told == [(turn.execution["workflow_id"], [approval])]
    last = (await installation.log(turn.execution["id"]))[-1]
    assert (last["type"], last["turn"], last["attempt"]) == ("approval.approved", 1, None)
    assert last["data"] == {"approval_id": approval, "decided_by": "test", "note": "fine"}
    assert (await installation.get(turn.execution["id"]))["last_seq"] == last["seq"]
    assert await listed(turn) == []
    opened = await turn.open()
    assert [(each["id"], each["status"], each["note"]) for each in opened["decisions"]] == [
        (approval, "approved", "fine")
    ]


async def test_of_twenty_decisions_at_once_one_holds(turn: Turn, installation: Installation) -> None:
    approval = await turn.ask()
    await turn.suspend()

    answers = await asyncio.gather(*(post(turn, approval, ("approve", "deny")[n % 2]) for n in range(20)))

    (decided,) = [answer.json()["status"] for answer in answers if answer.is_success]
    refused = [answer for answer in answers if not answer.is_success]
    assert {code(answer) for answer in refused} == {(409, "approval_closed")}
    assert {answer.json()["approval_status"] for answer in refused} == {decided}
    types = [event["type"] for event in await installation.log(turn.execution["id"])]
    assert types.count(f"approval.{decided}") == 1
    assert len(types) == (await installation.get(turn.execution["id"]))["last_seq"]


async def test_a_second_decision_after_the_end_says_who_decided(turn: Turn) -> None:
    approval, undecided = await turn.ask(), await turn.ask()
    await post(turn, approval, "deny")
    await turn.close(AttemptEnd.COMPLETED, response="done")

    answers = [await post(turn, each, "approve") for each in (approval, undecided)]

    assert [code(answer) for answer in answers] == [(409, "approval_closed"), (409, "execution_closed")]
    told = answers[0].json()
    assert (told["approval_status"], told["decided_by"]) == ("denied", "test")


async def test_other_arguments_than_those_that_were_seen_are_not_approved(turn: Turn) -> None:
    approval = await turn.ask()

    answer = await post(turn, approval, "approve", digest="another")

    assert code(answer) == (409, "args_changed")
    assert await listed(turn) == [approval]


async def test_what_nobody_decided_in_time_is_expired_for_everybody(
    turn: Turn, installation: Installation, temporal: Temporal
) -> None:
    approval = await turn.ask(expires=0.001)
    await turn.suspend()
    await asyncio.sleep(0.01)

    pending, expired = await listed(turn), await listed(turn, status="expired")
    answers = [await post(turn, approval, "approve") for _ in range(2)]

    assert (pending, expired) == ([], [approval])
    assert [code(answer) for answer in answers] == [(410, "approval_expired")] * 2
    types = [event["type"] for event in await installation.log(turn.execution["id"])]
    assert types.count("approval.expired") == 1
    assert temporal.told[0] == (turn.execution["workflow_id"], [approval])
    assert (await turn.open())["decisions"][0]["status"] == "expired"


@pytest.mark.parametrize("limit", [100, 99.5, 150.5, 10**13, None])
async def test_a_budget_is_raised_to_a_limit_that_is_one(turn: Turn, limit: float | None) -> None:
    approval = await turn.ask(QuestionKind.BUDGET, limit="tokens", value=100)

    refused = await post(turn, approval, "approve", **({} if limit is None else {"limit": limit}))
    raised = await post(turn, approval, "approve", limit=200)

    assert code(refused) == (422, "field_missing" if limit is None else "value_invalid")
    assert refused.json()["field"] == "/limit"
    assert (raised.status_code, raised.json()["limit"]) == (200, 200)


async def test_a_fraction_of_a_dollar_is_a_limit(turn: Turn) -> None:
    approval = await turn.ask(QuestionKind.BUDGET, limit="cost_usd", value=0.5)

    raised = await post(turn, approval, "approve", limit=0.75)

    assert raised.json()["limit"] == 0.75
    assert (await turn.open())["decisions"][0]["limit"] == 0.75


async def test_a_call_has_no_limit(turn: Turn) -> None:
    answer = await post(turn, await turn.ask(), "approve", limit=5)

    assert code(answer) == (422, "value_invalid")


async def test_an_ended_execution_takes_no_decision(turn: Turn) -> None:
    approval = await turn.ask()
    end = {"organization_id": str(turn.owner.id), "end": ExecutionEnd.CANCELLED}
    await turn.http.post(f"{turn.path}/finish", json=end, headers=turn.owner.auth("worker"))

    answer = await post(turn, approval, "approve")

    assert code(answer) == (409, "execution_closed")
    assert await listed(turn, status="withdrawn") == [approval]


async def test_a_turn_that_ends_takes_its_questions_back(installation: Installation) -> None:
    turn = await installation.turn(interactive=True)
    approval = await turn.ask()
    await turn.close(AttemptEnd.INTERRUPTED)

    answer = await post(turn, approval, "approve")

    assert code(answer) == (409, "approval_closed")
    assert answer.json()["approval_status"] == "withdrawn"


async def test_a_decision_is_kept_while_temporal_is_away(
    turn: Turn, installation: Installation, temporal: Temporal
) -> None:
    approval = await turn.ask()
    await turn.suspend()
    temporal.failure = TemporalUnavailable("It is away.")

    answer = await post(turn, approval, "deny", note="no")

    assert (answer.status_code, answer.json()["status"]) == (200, "denied")
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["temporal_unavailable"]
    temporal.failure = None
    await asyncio.sleep(0.05)
    await installation.reconciler.reconcile()
    assert temporal.told == [(turn.execution["workflow_id"], [approval])]


async def test_only_who_may_write_decides(turn: Turn) -> None:
    approval = await turn.ask()

    answers = [
        await turn.http.post(f"{APPROVALS}/{approval}/approve", json={}, headers=turn.owner.auth(scope))
        for scope in ("read", "worker")
    ]

    assert [code(answer) for answer in answers] == [(403, "scope_missing")] * 2


async def test_what_is_foreign_is_unknown(turn: Turn, postgres_url: str) -> None:
    theirs = await new_organization(postgres_url, "other")
    approval = await turn.ask()

    foreign = [
        await turn.http.get(f"{APPROVALS}/{approval}", headers=theirs.auth()),
        await turn.http.post(f"{APPROVALS}/{approval}/approve", json={}, headers=theirs.auth()),
        await turn.http.get(f"/api/v1/executions/{turn.execution['id']}/approvals", headers=theirs.auth()),
    ]

    assert [code(answer) for answer in foreign] == [(404, "not_found")] * 3
    assert (await turn.http.get(APPROVALS, headers=theirs.auth())).json()["items"] == []
    own = (await turn.http.get(f"/api/v1/executions/{turn.execution['id']}/approvals")).json()["items"]
    assert [each["id"] for each in own] == [approval]


async def from_temporal(turn: Turn, owner: Any = None, **decision: Any) -> httpx.Response:
    """A decision as the workflow's update passes it on."""
    owner = owner or turn.owner
    body = {"organization_id": str(owner.id), "decision": {"approve": True} | decision}
    return await turn.http.post(f"{turn.path}/approvals", json=body, headers=owner.auth("worker"))


async def test_a_decision_through_temporal_may_arrive_twice(turn: Turn) -> None:
    approval = await turn.ask()

    answers = [await from_temporal(turn, approval_id=approval) for _ in range(2)]
    other = await from_temporal(turn, approval_id=approval, approve=False)

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, "approved")] * 2
    assert code(other) == (409, "approval_closed")
    assert (await turn.http.get(f"{APPROVALS}/{approval}")).json()["decided_by"] == "temporal"


async def test_a_decision_through_temporal_is_checked_as_any_other(turn: Turn, postgres_url: str) -> None:
    theirs = await new_organization(postgres_url, "other")
    approval = await turn.ask()

    refused = [
        await from_temporal(turn, approval_id="nonsense"),
        await from_temporal(turn, approval_id=approval, limit=-1),
        await from_temporal(turn, theirs, approval_id=approval),
    ]

    assert [code(answer) for answer in refused] == [
        (404, "not_found"),
        (422, "value_invalid"),
        (404, "not_found"),
    ]


async def test_questions_and_steps_go_with_their_session(turn: Turn, postgres_url: str) -> None:
    await turn.ask()
    await turn.step(Step(ordinal=1, kind=StepKind.MODEL_CALL, status=StepStatus.DONE, response="y" * 100_000))
    end = {"organization_id": str(turn.owner.id), "end": ExecutionEnd.CANCELLED}
    await turn.http.post(f"{turn.path}/finish", json=end, headers=turn.owner.auth("worker"))

    deleted = await turn.http.delete(f"/api/v1/sessions/{turn.execution['session_id']}")

    assert deleted.status_code == 204
    assert await listed(turn, status="all") == []
    assert await rows_left(postgres_url, turn.execution["id"]) == 0


async def rows_left(url: str, execution: str) -> int:
    """Rows of the journal that an execution still has."""
    tables = ("approvals", "steps", "blobs", "turn_entries", "events", "attempts")
    counts = " + ".join(f"(SELECT count(*) FROM {table} WHERE execution_id = %(id)s)" for table in tables)
    async with await psycopg.AsyncConnection.connect(str(url)) as connection:
        row = await (await connection.execute(f"SELECT {counts}".encode(), {"id": execution})).fetchone()
    assert row is not None
    return row[0]
