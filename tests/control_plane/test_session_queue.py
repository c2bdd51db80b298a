"""Executions at once in one session: queued by default, refused or beside each other where that is asked for."""

import asyncio
from typing import Any

import httpx
import pytest

from runtimes.turns import ExecutionEnd
from services.control_plane_client.models import AttemptEnd
from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Temporal, Turn

EXECUTIONS = "/api/v1/executions"


async def start(installation: Installation, session: str, **body: Any) -> httpx.Response:
    given = {"agent_id": "demo", "prompt": "x", "session_id": session}
    return await installation.http.post(EXECUTIONS, json=given | body)


async def started(installation: Installation, session: str, **body: Any) -> dict[str, Any]:
    answer = await start(installation, session, **body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def place(installation: Installation, execution: dict[str, Any]) -> dict[str, Any]:
    """Ask for the place, as the workflow does when it was told."""
    body = {"organization_id": str(installation.owner.id)}
    path = f"/internal/v1/executions/{execution['id']}/place"
    answer = await installation.http.post(path, json=body, headers=installation.owner.auth("worker"))
    assert answer.is_success, answer.text
    return answer.json()


async def finish(turn: Turn, end: ExecutionEnd) -> None:
    body = {"organization_id": str(turn.owner.id), "end": end}
    await turn.http.post(f"{turn.path}/finish", json=body, headers=turn.owner.auth("worker"))


async def types(installation: Installation, execution: dict[str, Any]) -> list[str]:
    return [event["type"] for event in await installation.log(execution["id"])]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "timed_out"])
async def test_what_comes_later_waits_until_what_came_before_has_ended(
    installation: Installation, temporal: Temporal, end: str
) -> None:
    first = await installation.turn()
    session = first.execution["session_id"]
    second, third = [await started(installation, session) for _ in "23"]

    too_early = await place(installation, second)
    if end == "completed":
        await first.close(AttemptEnd.COMPLETED, response="done")
    else:
        await finish(first, ExecutionEnd(end))
    called = list(temporal.placed)
    out_of_turn, in_turn, again = [await place(installation, each) for each in (third, second, second)]

    assert [each["status"] for each in (second, third)] == ["waiting_for_session"] * 2
    assert [each["warnings"] for each in (second, third)] == [[], []]
    assert [(each.task_queue, each.deploy) for each in temporal.started[1:]] == [("", "")] * 2
    assert (too_early["task_queue"], called) == ("", [second["workflow_id"]])
    assert (out_of_turn["task_queue"], in_turn["task_queue"]) == ("", "holdfast.scripted")
    assert in_turn == again
    assert (await installation.get(second["id"]))["status"] == "queued"
    told = (await installation.log(third["id"]))[1]
    assert (told["type"], told["data"]) == (
        "execution.waiting_for_session",
        {"executions": [first.execution["id"], second["id"]]},
    )
    assert await types(installation, second) == [
        "execution.accepted",
        "execution.waiting_for_session",
        "execution.placed",
    ]


async def test_a_call_that_was_missed_is_made_again(installation: Installation, temporal: Temporal) -> None:
    first = await installation.turn()
    second = await started(installation, first.execution["session_id"])
    await asyncio.sleep(0.05)

    await installation.reconciler.reconcile()
    before = list(temporal.placed)
    await first.close(AttemptEnd.COMPLETED, response="done")
    temporal.placed.clear()
    await asyncio.sleep(0.05)
    await installation.reconciler.reconcile()

    assert (before, temporal.placed) == ([], [second["workflow_id"]])


async def test_one_that_ends_while_it_waits_is_passed_over(installation: Installation, temporal: Temporal) -> None:
    first = await installation.turn()
    second, third = [await started(installation, first.execution["session_id"]) for _ in "23"]

    await finish(Turn(installation.http, installation.owner, second), ExecutionEnd.CANCELLED)
    await first.close(AttemptEnd.COMPLETED, response="done")

    assert temporal.placed == [third["workflow_id"]]
    assert (await place(installation, third))["task_queue"] == "holdfast.scripted"


async def test_a_start_may_refuse_to_wait_or_to_be_waited_for(installation: Installation) -> None:
    first = await installation.turn()
    session = first.execution["session_id"]

    refused = await start(installation, session, session_concurrency="reject")
    beside = await started(installation, session, session_concurrency="parallel")
    wrong = await start(installation, session, session_concurrency="both")

    assert (code(refused), refused.json()["executions"]) == ((409, "session_busy"), [first.execution["id"]])
    assert (beside["status"], code(wrong)) == ("queued", (422, "value_invalid"))


async def test_an_agent_says_it_for_its_starts(installation: Installation) -> None:
    for concurrency in ("reject", "parallel"):
        body = {"name": concurrency, "model_id": "none", "runtime": "scripted"}
        configuration = {"configuration": {"session_concurrency": concurrency}}
        assert (await installation.http.post("/api/v1/agents", json=body | configuration)).status_code == 201
    session = (await installation.accept())["session_id"]

    refused = await start(installation, session, agent_id="reject")
    beside = await started(installation, session, agent_id="parallel")
    queued = await started(installation, session, agent_id="reject", session_concurrency="queue")

    assert code(refused) == (409, "session_busy")
    assert (beside["status"], queued["status"]) == ("queued", "waiting_for_session")


async def test_of_many_starts_at_once_one_runs_at_a_time(installation: Installation) -> None:
    session = (await installation.accept())["session_id"]

    waiting = await asyncio.gather(*(started(installation, session) for _ in range(10)))

    assert {each["status"] for each in waiting} == {"waiting_for_session"}
    assert [(await place(installation, each))["task_queue"] for each in waiting] == [""] * 10


async def test_a_place_in_the_session_may_still_want_a_pool(installation: Installation) -> None:
    first = await installation.turn()
    body = {"name": "homeless", "model_id": "none", "runtime": "native"}
    await installation.http.post("/api/v1/agents", json=body)
    second = await started(installation, first.execution["session_id"], agent_id="homeless")

    await first.close(AttemptEnd.COMPLETED, response="done")
    found = await place(installation, second)

    assert (second["status"], found["task_queue"], found["deploy"]) == (
        "waiting_for_session",
        "",
        "holdfast worker --pool native",
    )
    assert (await installation.get(second["id"]))["status"] == "waiting_for_pool"
