"""One organization's flood does not keep another one waiting; what is urgent goes first."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.common import Priority

from tests.conftest import NewStack
from tests.control_plane.api.organizations import code, new_organization, operator
from tests.stack import Stack

FLOOD = 40
EXECUTIONS = "/api/v1/executions"


@pytest.fixture(scope="module")
async def busy(new_stack: NewStack) -> AsyncGenerator[Stack]:
    """A stack whose only pool does one turn at a time."""
    async with new_stack(pools=("scripted",), settings={"HOLDFAST_WORKER_SLOTS": "1"}) as stack:
        yield stack


@pytest.fixture
async def closed_pool(busy: Stack) -> AsyncGenerator[Stack]:
    """Its worker is live and takes nothing."""
    worker = busy.processes["scripted"]
    worker.pause()
    yield busy
    worker.resume()


async def until_queued(stack: Stack, headers: dict[str, str], execution: str) -> None:
    """Wait until the execution's turn is in the pool's queue."""
    shown = (await stack.http.get(f"{EXECUTIONS}/{execution}", headers=headers)).json()
    handle = stack.temporal.get_workflow_handle(shown["workflow_id"])

    async def is_queued() -> bool:
        return bool((await handle.describe()).raw_description.pending_activities)

    await stack.until(is_queued)


async def start(stack: Stack, headers: dict[str, str], **body: Any) -> str:
    """Start an execution for somebody."""
    given = {"agent_id": "plain", "prompt": "[[say hi]]"} | body
    answer = await stack.http.post(EXECUTIONS, json=given, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def ended(stack: Stack, headers: dict[str, str], executions: Sequence[str]) -> list[dict[str, Any]]:
    """The executions as they are after their end, in the order in which their turns began."""
    shown: list[dict[str, Any]] = []
    for execution in executions:
        await wait(stack.http, headers, execution)
        shown.append((await stack.http.get(f"{EXECUTIONS}/{execution}", headers=headers)).json())
    return sorted(shown, key=lambda each: each["started_at"])


async def wait(http: httpx.AsyncClient, headers: dict[str, str], execution: str) -> None:
    async with asyncio.timeout(120):
        while (
            await http.get(f"{EXECUTIONS}/{execution}/result", params={"wait": 20}, headers=headers)
        ).status_code != 200:
            pass


async def test_an_organization_is_served_long_before_the_flood_of_another_one_has_passed(closed_pool: Stack) -> None:
    flooding = await operator(closed_pool.database_url)
    patient = await new_organization(closed_pool.database_url, "patient")
    agent = {"name": "plain", "runtime": "scripted", "model_id": "none"}
    await closed_pool.http.post("/api/v1/agents", json=agent, headers=patient.auth())
    flood = [await start(closed_pool, flooding.auth()) for _ in range(FLOOD)]
    one = await start(closed_pool, patient.auth())
    await until_queued(closed_pool, patient.auth(), one)

    closed_pool.processes["scripted"].resume()

    (served,) = await ended(closed_pool, patient.auth(), [one])
    before = [
        each for each in await ended(closed_pool, flooding.auth(), flood) if each["started_at"] < served["started_at"]
    ]
    assert len(before) < FLOOD // 4


async def test_what_is_urgent_goes_first(closed_pool: Stack) -> None:
    owner = await operator(closed_pool.database_url)
    usual = [await start(closed_pool, owner.auth()) for _ in range(FLOOD)]
    urgent = await start(closed_pool, owner.auth(), priority=1)
    late = await start(closed_pool, owner.auth(), priority=5)
    for execution in (urgent, late):
        await until_queued(closed_pool, owner.auth(), execution)

    closed_pool.processes["scripted"].resume()

    order = [each["id"] for each in await ended(closed_pool, owner.auth(), [*usual, urgent, late])]
    assert order.index(urgent) < FLOOD // 4
    assert order.index(late) > FLOOD // 2


@pytest.mark.parametrize(("given", "recorded"), [({}, 2), ({"priority": 4}, 4)])
async def test_the_priority_of_a_workflow_that_a_client_starts_is_kept(
    stack: Stack, given: dict[str, Any], recorded: int
) -> None:
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "plain", "prompt": "[[say hi]]"} | given,
        id=f"urgent-{uuid4()}",
        task_queue="holdfast",
        priority=Priority(priority_key=2),
    )

    shown = await stack.get((await handle.result())["execution_id"])

    history = await handle.fetch_history()
    (turn,) = [
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == "execute_agent_llm"
    ]
    organization = (await operator(stack.database_url)).id
    assert shown["priority"] == recorded
    assert (turn.priority.priority_key, turn.priority.fairness_key) == (recorded, str(organization))


async def test_a_priority_is_a_number_from_1_to_5(stack: Stack) -> None:
    answers = [
        await stack.http.post(EXECUTIONS, json={"agent_id": "plain", "prompt": "x", "priority": value})
        for value in (0, 6, "1", 2.5, True)
    ]

    assert [code(answer)[0] for answer in answers] == [422] * 5
    execution = await stack.start("[[say hi]]", "plain", priority=5)
    assert (await stack.get(execution))["priority"] == 5
