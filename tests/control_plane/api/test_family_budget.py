"""A child spends from its parent's budget: all of a family together stay within each limit, whatever is killed."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from runtimes.types import Usage
from services.control_plane_client.models import AttemptEnd
from tests.control_plane.api.organizations import code
from tests.control_plane.api.test_children import start, turn_of
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Turn


async def reserve(turn: Turn, reservation: str | None = None, **wanted: Any) -> dict[str, Any]:
    body = {"organization_id": str(turn.owner.id), "id": reservation or str(uuid4()), "model_calls": [1, 1]} | wanted
    path = f"{turn.path}/attempts/{turn.attempt}/reservations"
    answer = await turn.http.post(path, json=body, headers=turn.owner.auth("worker"))
    assert answer.is_success, answer.text
    return answer.json()


async def settle(turn: Turn, reservation: str, **used: Any) -> None:
    body = {"organization_id": str(turn.owner.id), "id": reservation, "usage": Usage(**used).model_dump()}
    path = f"{turn.path}/reservations"
    answer = await turn.http.post(path, json=body, headers=turn.owner.auth("worker"))
    assert answer.is_success, answer.text


async def family(installation: Installation, **budget: float) -> list[Turn]:
    """A parent with a limit, its two children, and a grandchild, each with its turn begun."""
    parent = await installation.turn(budget=budget)
    children = [await turn_of(installation, (await start(parent, key)).json()) for key in "ab"]
    grandchild = await turn_of(installation, (await start(children[0])).json())
    return [parent, *children, grandchild]


async def test_all_of_a_family_together_stay_within_the_limit(installation: Installation) -> None:
    members = await family(installation, model_calls=6)

    answers = await asyncio.gather(*(reserve(turn) for turn in members for _ in range(4)))
    granted = [answer for answer in answers if answer["is_granted"]]
    after = [await reserve(turn) for turn in members]

    assert len(granted) == 6
    assert {answer["exceeded"] for answer in after} | {answer["exceeded"] for answer in answers} <= {"", "model_calls"}
    assert [answer["is_granted"] for answer in after] == [False] * 4


async def test_the_same_reservation_counts_once_and_what_is_settled_counts_as_it_was(
    installation: Installation,
) -> None:
    parent, child, *_ = await family(installation, tokens=100)
    wanted: dict[str, Any] = {"reservation": str(uuid4()), "tokens": [10, 80]}

    first, again = await reserve(parent, **wanted), await reserve(parent, **wanted)
    meanwhile = await reserve(child, tokens=[10, 80])
    await settle(parent, wanted["reservation"], input_tokens=20, output_tokens=10, model_calls=1)
    await settle(parent, wanted["reservation"], model_calls=1)
    then = await reserve(child, tokens=[10, 80])
    beyond = await reserve(parent, tokens=[71, 80])

    assert (first["is_granted"], again["is_granted"]) == (True, True)
    assert (meanwhile["is_granted"], meanwhile["exceeded"]) == (False, "")
    assert then["is_granted"]
    assert (beyond["exceeded"], beyond["limit"], beyond["is_own"]) == ("tokens", 100, True)


async def test_what_a_lost_attempt_reserved_counts_as_spent(installation: Installation) -> None:
    parent, child, *_ = await family(installation, cost_usd=1.0)

    held = await reserve(child, cost_usd=[0.1, 0.9])
    waits = await reserve(parent, cost_usd=[0.2, 0.9])
    await child.retry()
    refused, rest = await reserve(parent, cost_usd=[0.2, 0.9]), await reserve(parent, cost_usd=[0.05, 0.9])

    assert (held["is_granted"], waits["is_granted"], waits["exceeded"]) == (True, False, "")
    assert (refused["exceeded"], rest["is_granted"]) == ("cost_usd", True)


async def test_a_child_is_told_that_the_limit_is_not_its_own(installation: Installation) -> None:
    parent, child, *_ = await family(installation, tool_calls=1)

    mine = await reserve(parent, model_calls=[0, 0], tool_calls=1)
    theirs = await reserve(child, model_calls=[0, 0], tool_calls=1)

    assert (mine["is_granted"], theirs["exceeded"], theirs["is_own"]) == (True, "tool_calls", False)


async def test_an_attempt_that_is_over_reserves_nothing(installation: Installation) -> None:
    parent, child, *_ = await family(installation, model_calls=6)
    old = child.attempt
    await child.retry()

    body = {"organization_id": str(child.owner.id), "id": str(uuid4()), "model_calls": [1, 1]}
    path = f"{child.path}/attempts/{old}/reservations"
    answer = await child.http.post(path, json=body, headers=child.owner.auth("worker"))

    assert code(answer) == (409, "attempt_fenced")
    assert (await reserve(parent))["is_granted"]


async def test_only_who_shares_a_budget_asks_for_each_call(installation: Installation) -> None:
    alone = Turn(installation.http, installation.owner, await installation.accept(budget={"tokens": 5}))
    parent = Turn(installation.http, installation.owner, await installation.accept(budget={"tokens": 5, "seconds": 9}))
    opened = [await alone.open(), await parent.open()]
    child = Turn(installation.http, installation.owner, await installation.get((await start(parent)).json()["id"]))

    shared = (await child.open())["shared"]

    assert [each["shared"] for each in opened] == [None, None]
    assert shared["limits"]["tokens"] == 5
    assert 0 < shared["limits"]["seconds"] <= 9


async def seen(installation: Installation, execution: str, path: str) -> dict[str, Any]:
    """An execution as one of the API's answers shows it."""
    if path == "list":
        listed = (await installation.http.get("/api/v1/executions")).json()["items"]
        return next(each for each in listed if each["id"] == execution)
    return (await installation.http.get(f"/api/v1/executions/{execution}{path}")).json()


@pytest.mark.parametrize("path", ["", "list", "/result"], ids=["get", "list", "result"])
async def test_what_children_used_is_in_their_parents_usage_and_told_apart(
    installation: Installation, path: str
) -> None:
    members = await family(installation)
    for turn, calls in zip(reversed(members), (1, 2, 3, 4), strict=True):
        await turn.close(AttemptEnd.COMPLETED, response="done", usage=Usage(model_calls=calls, cost_usd=0.5))

    shown = [await seen(installation, turn.execution["id"], path) for turn in members]

    assert [each["usage"]["model_calls"] for each in shown] == [10, 4, 2, 1]
    assert [each["usage"]["cost_usd"] for each in shown] == [2.0, 1.0, 0.5, 0.5]
    assert [each["children_usage"]["model_calls"] for each in shown] == [6, 1, 0, 0]
