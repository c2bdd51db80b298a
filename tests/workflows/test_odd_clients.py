"""Odd messages of Temporal's clients, which no workflow of ours takes: refused, seen, and holding nothing up."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from tests.invariants import assert_ended_well
from tests.stack import Stack

GIVEN = {"agent_id": "demo", "prompt": "[[say hi]]"}


@pytest.mark.parametrize("given", [[GIVEN, GIVEN], [GIVEN, None], ["a", 1, {}], [[GIVEN]], ["text"], [7]])
async def test_a_start_with_odd_arguments_is_refused_and_seen(stack: Stack, given: list[Any]) -> None:
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", args=given, id=f"odd-{uuid4()}", task_queue="holdfast"
    )

    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 20)

    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, "agent_id" in cause.message) == ("type_error", True), cause.message
    listed = (await stack.http.get("/api/v1/executions", params={"limit": 50, "status": "failed"})).json()["items"]
    (seen,) = [each for each in listed if each["workflow_id"] == handle.id]
    assert seen["error"]["code"] == "type_error"


def payload(encoding: str, data: bytes, **more: bytes) -> Payload:
    return Payload(metadata={"encoding": encoding.encode(), **more}, data=data)


UNREAD = [
    payload("json/plain", b'{"agent_id": "demo", '),
    payload("json/plain", b""),
    payload("json/plain", b'{"agent_id": "\\ud800"}'),
    payload("json/plain", b"\xff\xfe"),
    payload("json/plain", b'{"a":' * 3000 + b"1" + b"}" * 3000),
    payload("binary/null", b"not nothing"),
    payload("binary/plain", b"\xff\x00bytes"),
    payload("binary/encrypted", b"sealed"),
    payload("json/protobuf", b"{}", messageType=b"no.such.Message"),
    payload("json/protobuf", b'"3s"', messageType=b"google.protobuf.Duration"),
    payload("binary/protobuf", b"\xff", messageType=b"google.protobuf.Duration"),
    Payload(data=b"bare"),
]


@pytest.mark.parametrize("given", UNREAD, ids=lambda given: str(given.metadata.get("encoding")))
async def test_an_input_that_cannot_be_read_is_refused_and_seen(stack: Stack, given: Payload) -> None:
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", args=[RawValue(given)], id=f"unread-{uuid4()}", task_queue="holdfast"
    )

    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 20)

    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, "cannot be read" in cause.message) == ("type_error", True), cause.message
    listed = (await stack.http.get("/api/v1/executions", params={"limit": 50, "status": "failed"})).json()["items"]
    (seen,) = [each for each in listed if each["workflow_id"] == handle.id]
    assert seen["error"]["code"] == "type_error"


async def test_signals_and_updates_that_cannot_be_read_hold_nothing_up(stack: Stack) -> None:
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_event(execution, "turn.completed")
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])

    for given in UNREAD:
        for name in ("close", "place", "answered"):
            await handle.signal(name, args=[RawValue(given)])
        for name in ("send_message", "decide_approval"):
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update(name, args=[RawValue(given)])  # pyright: ignore[reportUnknownMemberType]
    state = await handle.query("state")
    await stack.http.post(f"/api/v1/executions/{execution}/close")

    assert (state["turn"], state["closing"], state["queued_messages"]) == (1, False, 0)
    assert (await stack.result(execution))["response"] == "one"
    await assert_ended_well(stack, execution)


async def test_odd_signals_and_updates_hold_nothing_up(stack: Stack) -> None:
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_event(execution, "turn.completed")
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])

    signals: list[tuple[str, list[Any]]] = [
        ("close", [{}]),
        ("place", [1, 2]),
        ("answered", []),
        ("answered", ["text"]),
        ("answered", [[1]]),
        ("answered", [["a"], ["b"]]),
        ("unheard", ["of"]),
    ]
    for name, given in signals:
        await handle.signal(name, args=given)
    for name, given in (
        ("send_message", []),
        ("send_message", [{"content": "a"}, {"content": "b"}]),
        ("send_message", [{"content": ["no text"]}]),
        ("send_message", [7]),
        ("interrupt", ["text"]),
        ("interrupt", [1, 2]),
        ("decide_approval", []),
        ("decide_approval", [{"approve": True}]),
        ("unheard", ["of"]),
    ):
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(name, args=given)  # pyright: ignore[reportUnknownMemberType]
    details = str(await handle.query("__temporal_workflow_metadata"))
    state = await handle.query("state")
    await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "[[say two]]"})
    await stack.http.post(f"/api/v1/executions/{execution}/close")

    assert "ignored the signal `answered`: it takes one list of ids" in details
    assert (state["turn"], state["closing"], state["queued_messages"]) == (1, False, 0)
    assert (await stack.result(execution))["response"] == "two"
    await assert_ended_well(stack, execution)
