"""Executions that a turn starts: once for each call, seen by their parent, ended with it."""

import asyncio
from typing import Any

import httpx

from control_plane.errors import TemporalUnavailable
from runtimes.turns import ExecutionEnd
from services.control_plane_client.models import AttemptEnd
from tests.control_plane.api.organizations import Organization, code, new_organization
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Temporal, Turn


async def start(turn: Turn, key: str = "k", agent: str = "demo", owner: Organization | None = None) -> httpx.Response:
    """Ask for a child, as the worker does."""
    owner = owner or turn.owner
    body = {"organization_id": str(owner.id), "key": key, "agent": agent, "prompt": "do it"}
    return await turn.http.post(f"{turn.path}/children", json=body, headers=owner.auth("worker"))


async def turn_of(installation: Installation, child: dict[str, Any]) -> Turn:
    """The first turn of a child, opened."""
    turn = Turn(installation.http, installation.owner, await installation.get(child["id"]))
    await turn.open()
    return turn


async def finish(turn: Turn, end: ExecutionEnd = ExecutionEnd.FAILED) -> None:
    """End an execution, as its workflow does."""
    body = {"organization_id": str(turn.owner.id), "end": end, "error": {"code": "boom", "message": "It broke."}}
    await turn.http.post(f"{turn.path}/finish", json=body, headers=turn.owner.auth("worker"))


async def test_the_same_call_starts_one_child_and_hears_of_its_end(
    installation: Installation, temporal: Temporal
) -> None:
    parent = await installation.turn(budget={"tokens": 100})

    first, again = (await start(parent)).json(), (await start(parent)).json()
    other = (await start(parent, "another")).json()
    child = await turn_of(installation, first)
    await child.close(AttemptEnd.COMPLETED, response="done", output={"n": 1})
    ended = (await start(parent)).json()

    assert first == again
    assert first["status"] == "queued"
    assert first["id"] != other["id"]
    assert (ended["status"], ended["response"], ended["output"]) == ("completed", "done", {"n": 1})
    assert [each.parent_workflow_id for each in temporal.started] == [None, *[parent.execution["workflow_id"]] * 2]
    shown = child.execution
    assert (shown["parent_id"], shown["budget"], shown["source"]) == (parent.execution["id"], {}, "api")


async def test_a_failed_child_says_why(installation: Installation) -> None:
    parent = await installation.turn()
    child = await turn_of(installation, (await start(parent)).json())
    await finish(child)

    ended = (await start(parent)).json()

    assert (ended["status"], ended["error"]["code"]) == ("failed", "boom")


async def test_executions_start_each_other_five_deep(installation: Installation) -> None:
    turn = await installation.turn()
    for _ in range(5):
        turn = await turn_of(installation, (await start(turn)).json())

    answer = await start(turn)

    assert code(answer) == (409, "depth_exceeded")


async def test_what_ends_takes_its_open_children_with_it(installation: Installation, temporal: Temporal) -> None:
    parent = await installation.turn()
    ended, running = [await turn_of(installation, (await start(parent, key)).json()) for key in "ab"]
    await finish(ended)

    await finish(parent, ExecutionEnd.CANCELLED)
    after = await start(parent, "c")

    assert temporal.cancelled == [running.execution["workflow_id"]]
    assert code(after) == (409, "execution_closed")


async def test_an_interrupted_turn_takes_its_open_children_with_it(
    installation: Installation, temporal: Temporal
) -> None:
    parent = await installation.turn(interactive=True)
    child = await turn_of(installation, (await start(parent)).json())

    await parent.suspend(child.execution["id"])
    before = list(temporal.cancelled)
    await parent.open()
    await parent.close(AttemptEnd.INTERRUPTED)

    assert before == []
    assert temporal.cancelled == [child.execution["workflow_id"]]
    assert (await installation.get(parent.execution["id"]))["status"] == "waiting"


async def test_a_child_that_could_not_be_cancelled_is_cancelled_later(
    installation: Installation, temporal: Temporal
) -> None:
    parent = await installation.turn()
    child = await turn_of(installation, (await start(parent)).json())
    temporal.failure = TemporalUnavailable("It is away.")
    await finish(parent, ExecutionEnd.CANCELLED)
    temporal.failure = None

    await asyncio.sleep(0.05)
    await installation.reconciler.reconcile()

    assert temporal.cancelled == [child.execution["workflow_id"]]


async def test_a_child_that_is_waited_for_is_left_alone(installation: Installation, temporal: Temporal) -> None:
    parent = await installation.turn()
    child = await turn_of(installation, (await start(parent)).json())
    await parent.suspend(child.execution["id"])

    await asyncio.sleep(0.05)
    await installation.reconciler.reconcile()

    assert temporal.cancelled == []


async def test_a_child_that_could_not_be_started_is_started_later(
    installation: Installation, temporal: Temporal
) -> None:
    parent = await installation.turn()
    temporal.failure = TemporalUnavailable("It is away.")

    answer = await start(parent)

    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


async def test_nobody_starts_what_is_not_theirs(installation: Installation, postgres_url: str) -> None:
    theirs = await new_organization(postgres_url, "other")
    parent = await installation.turn()

    answers = [await start(parent, agent="nobody"), await start(parent, owner=theirs)]

    assert [code(answer) for answer in answers] == [(404, "agent_unknown"), (404, "not_found")]
