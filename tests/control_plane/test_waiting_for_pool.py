"""Executions that no live pool can run: they wait, they are told, they go on once; or they fail, if asked to."""

import asyncio
from typing import Any

import pytest

from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Temporal, Turn

EXECUTIONS = "/api/v1/executions"


async def agent(installation: Installation, name: str, **body: Any) -> dict[str, Any]:
    """Make an agent."""
    answer = await installation.http.post("/api/v1/agents", json={"name": name, "model_id": "none"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def waiting(installation: Installation, **body: Any) -> dict[str, Any]:
    """An execution on a runtime that nobody serves."""
    await agent(installation, "homeless", runtime="native")
    return await installation.accept(agent_id="homeless", **body)


async def place(installation: Installation, execution: dict[str, Any]) -> dict[str, Any]:
    """What the workflow asks for when it was told."""
    body = {"organization_id": str(installation.owner.id)}
    path = f"/internal/v1/executions/{execution['id']}/place"
    answer = await installation.http.post(path, json=body, headers=installation.owner.auth("worker"))
    assert answer.is_success, answer.text
    return answer.json()


async def test_an_execution_without_a_pool_waits_and_says_for_what(
    installation: Installation, temporal: Temporal
) -> None:
    execution = await waiting(installation)

    accepted, told = await installation.log(execution["id"])
    (started,) = temporal.started

    assert (execution["status"], execution["task_queue"], execution["runtime"]) == ("waiting_for_pool", "", "native")
    assert [each["code"] for each in execution["warnings"]] == ["runtime_not_live"]
    resolution = execution["resolution"]
    assert (resolution["stage"], resolution["pool"]) == ("explicit", None)
    assert resolution["deploy"] == "holdfast worker --pool native"
    assert accepted["data"]["resolution"]["deploy"] == resolution["deploy"]
    assert (told["type"], told["data"]) == (
        "execution.waiting_for_pool",
        {"runtime": "native", "deploy": "holdfast worker --pool native"},
    )
    assert (started.task_queue, started.deploy) == ("", "holdfast worker --pool native")


async def test_it_is_told_as_soon_as_a_pool_fits_whatever_that_is_called(
    installation: Installation, temporal: Temporal
) -> None:
    execution = await waiting(installation)

    before = await place(installation, execution)
    installation.state.live.came.clear()
    await installation.announce("other-name", "scripted", "native")
    heard = installation.state.live.came.is_set()
    told = await installation.reconciler.place()
    place_now, again = await place(installation, execution), await place(installation, execution)

    assert (before["task_queue"], before["deploy"]) == ("", "holdfast worker --pool native")
    assert (heard, told, temporal.placed) == (True, 1, [execution["workflow_id"]])
    assert place_now == again
    assert (place_now["runtime"], place_now["task_queue"]) == ("native", "holdfast.other-name")
    shown = await installation.get(execution["id"])
    assert (shown["status"], shown["task_queue"], shown["resolution"]["pool"]) == (
        "queued",
        "holdfast.other-name",
        "other-name",
    )
    assert [event["type"] for event in await installation.log(execution["id"])] == [
        "execution.accepted",
        "execution.waiting_for_pool",
        "execution.placed",
    ]


async def test_what_nobody_was_told_the_next_pass_tells(installation: Installation, temporal: Temporal) -> None:
    execution = await waiting(installation)
    await asyncio.sleep(0.05)

    too_early = await installation.reconciler.reconcile()
    await installation.announce("native")
    await asyncio.sleep(0.05)
    told = await installation.reconciler.reconcile()

    assert (too_early, told, temporal.placed) == (0, 1, [execution["workflow_id"]])


async def test_an_agent_that_names_no_runtime_takes_whatever_fits(installation: Installation) -> None:
    await agent(installation, "open", template="generic-task")
    execution = await installation.accept(agent_id="open")

    await installation.announce("langgraph")
    found = await place(installation, execution)

    assert (execution["status"], execution["runtime"]) == ("waiting_for_pool", "default")
    assert (found["runtime"], found["task_queue"]) == ("langgraph", "holdfast.langgraph")


async def test_a_runtime_that_the_start_named_is_not_replaced_later(installation: Installation) -> None:
    await agent(installation, "open", template="generic-task")
    execution = await installation.accept(agent_id="open", runtime="native")

    await installation.announce("default")

    assert (await place(installation, execution))["task_queue"] == ""


async def test_who_does_not_want_to_wait_is_told_at_once(installation: Installation) -> None:
    await agent(installation, "homeless", runtime="native")

    answer = await installation.http.post(
        EXECUTIONS, json={"agent_id": "homeless", "prompt": "x", "if_no_pool": "fail"}
    )
    served = await installation.accept(if_no_pool="fail")

    assert code(answer) == (409, "pool_missing")
    assert answer.json()["hint"] == "holdfast worker --pool native"
    assert answer.json()["candidates"][0]["reason"] == "no live pool: waited for"
    assert (await installation.http.get(EXECUTIONS)).json()["items"][0]["id"] == served["id"]


async def test_what_no_runtime_can_do_is_refused_and_warned_of(installation: Installation) -> None:
    blind = await agent(installation, "blind", runtime="scripted", configuration={"requires": ["vision"]})

    answer = await installation.http.post(EXECUTIONS, json={"agent_id": "blind", "prompt": "x"})

    assert [each["code"] for each in blind["warnings"]] == ["runtime_unfit"]
    assert code(answer) == (422, "runtime_unfit")
    assert "'scripted': lacks vision (requires)." in answer.json()["detail"]


async def test_an_interactive_one_without_a_message_waits_for_one_after_its_pool(installation: Installation) -> None:
    execution = await waiting(installation, prompt=None, interactive=True)

    await installation.announce("native")
    await place(installation, execution)

    assert execution["status"] == "waiting_for_pool"
    assert (await installation.get(execution["id"]))["status"] == "waiting"
    assert [event["type"] for event in await installation.log(execution["id"])] == [
        "execution.accepted",
        "execution.waiting_for_pool",
        "execution.placed",
        "execution.waiting",
    ]


async def test_a_cancelled_one_gets_no_place(installation: Installation) -> None:
    execution = await waiting(installation)
    path = f"/internal/v1/executions/{execution['id']}"
    body = {"organization_id": str(installation.owner.id), "end": "cancelled"}
    await installation.http.post(f"{path}/finish", json=body, headers=installation.owner.auth("worker"))

    answer = await installation.http.post(
        f"{path}/place", json={"organization_id": body["organization_id"]}, headers=installation.owner.auth("worker")
    )

    assert code(answer) == (409, "execution_closed")


async def test_many_are_told_in_one_pass(installation: Installation, temporal: Temporal) -> None:
    await agent(installation, "homeless", runtime="native")
    executions = [await installation.accept(agent_id="homeless") for _ in range(105)]

    await installation.announce("native")
    told = await installation.reconciler.place()

    assert told == len(executions)
    assert sorted(temporal.placed) == sorted(execution["workflow_id"] for execution in executions)


@pytest.mark.parametrize("body", [{}, {"agent_id": "demo", "agent": {}}])
async def test_a_question_is_about_one_agent(installation: Installation, body: dict[str, Any]) -> None:
    answer = await installation.http.post("/api/v1/runtimes/resolve", json=body)

    assert code(answer) == (422, "value_invalid")


async def test_a_question_has_an_answer_for_stored_agents_and_for_drafts(installation: Installation) -> None:
    stored = await installation.http.post("/api/v1/runtimes/resolve", json={"agent_id": "demo"})
    draft = {"template": "custom-code-agent", "configuration": {"requires": ["vision"]}}
    drafted = await installation.http.post("/api/v1/runtimes/resolve", json={"agent": draft})

    assert (stored.json()["runtime"], stored.json()["pool"]) == ("scripted", "scripted")
    assert drafted.json()["required"] == {
        "code_execution": "template custom-code-agent",
        "tools": "toolset file_system",
        "vision": "requires",
    }
    assert (drafted.json()["runtime"], drafted.json()["pool"]) == ("claude_code", None)


async def test_a_changed_runtime_is_for_the_next_execution(installation: Installation) -> None:
    first = await installation.accept(interactive=True)
    await installation.announce("native")

    await installation.http.patch("/api/v1/agents/demo", json={"runtime": "native"})
    second = await installation.accept()
    turn = Turn(installation.http, installation.owner, first)
    opened = await turn.open()

    assert (opened["agent"]["runtime"], opened["agent"]["version"]) == ("scripted", 1)
    assert (second["runtime"], second["task_queue"]) == ("native", "holdfast.native")
    assert (await installation.get(first["id"]))["runtime"] == "scripted"
