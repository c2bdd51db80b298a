"""The journal of an execution, as people read it."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from runtimes.types import Usage
from services.control_plane_client.models import Step, StepKind, StepStatus
from services.model_gateway.claims import CLAIM_AFTER_SECONDS
from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Turn

LARGE = "y" * 100_000


@pytest.fixture
async def turn(installation: Installation) -> Turn:
    """A turn that asked a model, and began to call a tool."""
    return await _with_steps(installation)


async def _with_steps(installation: Installation) -> Turn:
    turn = await installation.turn()
    asked = Step(
        ordinal=1,
        kind=StepKind.MODEL_CALL,
        status=StepStatus.DONE,
        name="openai/gpt",
        request={"messages": [LARGE]},
        response={"text": "hi\x00"},
        usage=Usage(input_tokens=12, output_tokens=3, model_calls=1, cost_usd=0.25),
        timings={"total": 1.5},
    )
    called = Step(
        ordinal=2,
        kind=StepKind.TOOL_CALL,
        status=StepStatus.CLAIMED,
        key="call_1",
        name="shell",
        effect="at_most_once",
        request={"arguments": {"command": "ls"}},
    )
    await turn.step(asked, called)
    return turn


async def steps(within: Turn, **query: Any) -> dict[str, Any]:
    """The list."""
    answer = await within.http.get(f"/api/v1/executions/{within.execution['id']}/steps", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_step_that_was_stored_late_began_when_it_began(installation: Installation) -> None:
    turn = await installation.turn()
    late = Step(ordinal=1, kind=StepKind.MODEL_CALL, status=StepStatus.DONE, timings={"total": 9.0, "provider": 3.0})
    claimed = Step(
        ordinal=2, kind=StepKind.MODEL_CALL, status=StepStatus.CLAIMED, timings={"provider": CLAIM_AFTER_SECONDS}
    )

    await turn.step(late, claimed)
    before = (await steps(turn))["items"]
    await turn.step(claimed.model_copy(update={"status": StepStatus.DONE, "timings": {"provider": 7.0}}))
    after = (await steps(turn))["items"]

    assert [seconds_of(step) for step in before] == [3.0, None]
    assert before[1]["started_at"] == after[1]["started_at"]
    assert (moment(before[0]["ended_at"]) - moment(before[1]["started_at"])).total_seconds() == CLAIM_AFTER_SECONDS


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds_of(step: dict[str, Any]) -> float | None:
    ended = step["ended_at"]
    return ended and (moment(ended) - moment(step["started_at"])).total_seconds()


async def test_steps_say_what_was_done_and_what_it_cost(turn: Turn) -> None:
    first = await steps(turn, limit=1)
    rest = await steps(turn, cursor=first["next_cursor"])

    (model,), (tool,) = first["items"], rest["items"]
    assert (model["turn"], model["ordinal"], model["attempt"], model["kind"]) == (1, 1, 1, "model_call")
    assert (model["usage"]["cost_usd"], model["timings"], model["status"]) == (0.25, {"total": 1.5}, "done")
    assert (tool["key"], tool["effect"], tool["status"], tool["ended_at"]) == (
        "call_1",
        "at_most_once",
        "claimed",
        None,
    )
    assert not {"request", "response"} & {*model, *tool}
    assert rest["next_cursor"] is None


async def test_what_was_sent_and_answered_is_there_for_who_asks(turn: Turn) -> None:
    (model, tool) = (await steps(turn, include="request"))["items"]
    both = (await steps(turn, include="response,request", turn=1))["items"]
    one = (await turn.http.get(f"/api/v1/executions/{turn.execution['id']}/steps/1/1")).json()

    assert model["request"] == {"messages": [LARGE]}
    assert tool["request"] == {"arguments": {"command": "ls"}}
    assert "response" not in model
    assert both[0] == one
    assert one["response"] == {"text": "hi\ufffd"}
    assert both[1]["response"] is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/1/3", (404, "not_found")),
        ("/2/1", (404, "not_found")),
        ("/1/99999999999", (404, "not_found")),
        ("?include=usage", (422, "value_invalid")),
        ("?turn=0", (422, "value_invalid")),
        ("?cursor=abc", (400, "cursor_invalid")),
    ],
)
async def test_what_is_not_there_is_refused(turn: Turn, path: str, expected: tuple[int, str]) -> None:
    answer = await turn.http.get(f"/api/v1/executions/{turn.execution['id']}/steps{path}")

    assert code(answer) == expected


async def test_an_answer_is_cached_for_the_agents_version(turn: Turn) -> None:
    body = {"organization_id": str(turn.owner.id), "response": {"text": "hi"}, "ttl_seconds": 60}
    worker = turn.owner.auth("worker")
    query = {"organization": str(turn.owner.id)}

    before = await turn.http.get(f"{turn.path}/cache/d1", params=query, headers=worker)
    kept = await turn.http.put(f"{turn.path}/cache/d1", json=body, headers=worker)
    after = await turn.http.get(f"{turn.path}/cache/d1", params=query, headers=worker)

    assert (before.json(), kept.status_code, after.json()) == (None, 204, {"text": "hi"})


async def test_a_cached_answer_is_for_one_version_and_for_a_while(turn: Turn, installation: Installation) -> None:
    body = {"organization_id": str(turn.owner.id), "response": {"text": "hi"}}
    worker, query = turn.owner.auth("worker"), {"organization": str(turn.owner.id)}
    for name, seconds in (("short", 0.01), ("long", 60)):
        await turn.http.put(f"{turn.path}/cache/{name}", json=body | {"ttl_seconds": seconds}, headers=worker)
    await asyncio.sleep(0.05)
    same = await installation.turn()
    await turn.http.patch("/api/v1/agents/demo", json={"description": "another version"})
    other = await installation.turn()

    async def found(by: Turn, name: str) -> object:
        return (await turn.http.get(f"{by.path}/cache/{name}", params=query, headers=worker)).json()

    assert await found(same, "short") is None
    assert await found(same, "long") == {"text": "hi"}
    assert await found(other, "long") is None
