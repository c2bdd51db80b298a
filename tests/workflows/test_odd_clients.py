"""Odd messages of Temporal's clients, which no workflow of ours takes: refused, seen, and holding nothing up."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
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


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        (rb'{"agent_id": "demo", "prompt": "half \ud800 x"}', "text_not_utf8", "prompt"),
        (rb'{"agent_id": "demo", "prompt": "a\u0000b"}', "text_nul", "prompt"),
        (rb'{"agent_id": "demo", "agent_id": "poet", "prompt": "hi"}', "json_duplicate_key", "agent_id"),
        (rb'{"agent_id": "demo", "prompt": "hi", "metadata": {"a": 1, "a": 2}}', "json_duplicate_key", "metadata/a"),
        (rb'{"agent_id": "demo", "prompt": "hi", "metadata": {"a": 1e999}}', "number_out_of_range", "metadata/a"),
        (rb'{"agent_id": "demo", "prompt": "hi", "metadata": {"a": NaN}}', "number_out_of_range", "metadata/a"),
        (rb'{"agent_id": "demo", "prompt": "hi", "metadata": {"a": {"b": 1}}}', "type_error", "metadata/a"),
        (rb'{"agent_id": "demo", "prompt": "hi", "metadata": {"": 1}}', "metadata_limits", "metadata"),
        (rb'{"agent_id": "demo", "prompt": "hi", "priority": true}', "type_error", "priority"),
        (rb'{"agent_id": "demo", "prompt": "hi", "budget": {"tokens": "5"}}', "type_error", "budget/tokens"),
    ],
)
async def test_a_start_is_read_as_strictly_as_a_request(stack: Stack, text: bytes, code: str, field: str) -> None:
    asked = await stack.http.post("/api/v1/executions", content=text, headers={"Content-Type": "application/json"})
    handle = await stack.temporal.start_workflow(
        "AgentExecutionWorkflow", args=[RawValue(payload("json/plain", text))], id=f"s-{uuid4()}", task_queue="holdfast"
    )

    with pytest.raises(WorkflowFailureError) as failed:
        await asyncio.wait_for(handle.result(), 20)

    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    refusal = asked.json()
    assert (cause.type, refusal["code"], refusal["field"]) == (code, code, f"/{field}")
    assert cause.message.startswith(refusal["detail"]), cause.message
    assert (cause.details[0]["code"], cause.details[0]["retryable"]) == (code, False)
    listed = (await stack.http.get("/api/v1/executions", params={"limit": 50, "status": "failed"})).json()["items"]
    (seen,) = [each for each in listed if each["workflow_id"] == handle.id]
    assert seen["error"]["code"] == code


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


async def _refusal(handle: WorkflowHandle[Any, Any], name: str, *given: object) -> dict[str, Any]:
    """What an update is refused with."""
    raw = [RawValue(payload("json/plain", each)) if isinstance(each, bytes) else each for each in given]
    update = handle.execute_update(name, args=raw)  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asyncio.wait_for(update, 20)
    cause = refused.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.non_retryable, cause.cause) == (True, None), cause
    (error,) = cause.details
    assert (error["code"], error["retryable"], "pydantic" in str(cause)) == (cause.type, False, False), cause
    return error


ID = "01a1fbbd-3f39-740f-a615-ace591473df9"
MESSAGES: list[tuple[tuple[object, ...], str, str]] = [
    ((), "type_error", "content"),
    (({"content": "a"}, {"content": "b"}), "type_error", "2 arguments"),
    ((None,), "type_error", "no object"),
    ((["a"],), "type_error", "no object"),
    (({},), "field_missing", "content"),
    (({"contnt": "a"},), "field_unknown", "Did you mean 'content'?"),
    (({"content": "a", "extra": 1},), "field_unknown", "extra"),
    (({"content": "a", "extra": None},), "field_unknown", "extra"),
    (({"content": "a", "key": "k"},), "field_unknown", "key"),
    (({"content": ""},), "value_invalid", "content"),
    (({"content": 7},), "type_error", "content"),
    (({"content": "x" * 65_537},), "body_too_large", "REST"),
    (({"message_id": "zzz"},), "value_invalid", "message_id"),
    (({"message_id": ""},), "value_invalid", "message_id"),
    (({"message_id": 5},), "type_error", "message_id"),
    (({"content": "[[say a]]", "message_id": "zzz"},), "value_invalid", "message_id"),
    (({"content": "[[say a]]", "message_id": ID},), "value_invalid", "message_id"),
    ((rb'{"content": "a\u0000b"}',), "text_nul", "/content"),
    ((rb'{"content": "a\ud800b"}',), "text_not_utf8", "/content"),
    ((rb'{"content": "a", "content": "b"}',), "json_duplicate_key", "/content"),
]


async def test_a_message_is_refused_in_the_words_of_the_api(stack: Stack) -> None:
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_event(execution, "turn.completed")
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])

    for given, code, word in MESSAGES:
        error = await _refusal(handle, "send_message", *given)
        assert (error["code"], word in f"{error['message']} {error['hint']}") == (code, True), (str(given)[:80], error)
    turns: list[object] = ["1", True, 1.5, [1], {"turn": 1}]
    for turn in turns:
        assert (await _refusal(handle, "interrupt", turn))["code"] == "type_error"
    await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "[[say two]]"})
    await stack.http.post(f"/api/v1/executions/{execution}/close")

    assert (await stack.result(execution))["response"] == "two"
    await assert_ended_well(stack, execution)


DECISIONS: list[tuple[dict[str, Any] | bytes, str, str]] = [
    ({"approve": "yes"}, "type_error", "approve"),
    ({"approve": "off"}, "type_error", "approve"),
    ({"approve": 1}, "type_error", "approve"),
    ({"approve": None}, "field_missing", "approve"),
    ({"aprove": True}, "field_unknown", "Did you mean 'approve'?"),
    ({"note": 7}, "type_error", "note"),
    ({"note": "x" * 2001}, "value_invalid", "note"),
    ({"decided_by": "x" * 201}, "value_invalid", "decided_by"),
    ({"limit": "5"}, "type_error", "limit"),
    ({"limit": True}, "type_error", "limit"),
    ({"limit": 0}, "value_invalid", "limit"),
    ({"approve": False, "limit": 5}, "value_invalid", "limit"),
    ({"approval_id": "zzz"}, "value_invalid", "approval_id"),
    ({"approval_id": ID}, "approval_not_found", ID),
    (rb'"note": "a\u0000b"', "text_nul", "/note"),
    (rb'"note": "a\ud800b"', "text_not_utf8", "/note"),
    (rb'"decided_by": "a\u0000b"', "text_nul", "/decided_by"),
    (rb'"approve": false', "json_duplicate_key", "/approve"),
]


async def test_a_decision_is_refused_in_the_words_of_the_api(stack: Stack, tmp_path: Path) -> None:
    tool = {"type": "python", "functions": ["tests.tools:append_line"], "approval": "always"}
    agent = (await stack.agent(f"careful-{uuid4()}", toolsets=[tool]))["name"]
    call = json.dumps({"path": str(tmp_path / "ledger"), "line": "x"})
    execution = await stack.start(f"[[tool append_line {call};; say done]]", agent)
    await stack.until_event(execution, "execution.waiting")
    (asked,) = (await stack.http.get(f"/api/v1/executions/{execution}/approvals")).json()["items"]
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
    right = {"approval_id": asked["id"], "approve": True}

    for wrong, code, word in DECISIONS:
        given = json.dumps(right).encode()[:-1] + b", " + wrong + b"}" if isinstance(wrong, bytes) else right | wrong
        error = await _refusal(handle, "decide_approval", given)
        assert (error["code"], word in f"{error['message']} {error['hint']}") == (code, True), (wrong, error)
    still = (await stack.http.get(f"/api/v1/approvals/{asked['id']}")).json()["status"]
    idle = await stack.start("[[say one]]", interactive=True)
    await stack.until_event(idle, "turn.completed")
    other = stack.temporal.get_workflow_handle((await stack.get(idle))["workflow_id"])
    nowhere = await _refusal(other, "decide_approval", right)
    decided = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
        "decide_approval", {**right, "note": "", "limit": None, "decided_by": ""}
    )

    assert (still, decided) == ("pending", "approved")
    assert (nowhere["code"], asked["id"] in nowhere["message"]) == ("approval_not_found", True)
    assert (await stack.result(execution))["response"] == "done"
    await assert_ended_well(stack, execution)


async def test_a_message_that_there_is_not_is_told_and_those_behind_it_are_answered(stack: Stack) -> None:
    execution = await stack.start("[[say one]]", interactive=True)
    await stack.until_event(execution, "turn.completed")
    handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])

    for message in ({"message_id": ID}, {"content": "[[say two]]"}):
        await handle.execute_update("send_message", message)  # pyright: ignore[reportUnknownMemberType]
    await handle.signal("close")

    assert (await stack.result(execution))["response"] == "two"
    events = await assert_ended_well(stack, execution)
    assert [event["data"] for event in events if event["type"] == "message.unknown"] == [{"message_id": ID}]


async def test_a_message_that_can_never_be_stored_is_not_tried_for_ever(stack: Stack) -> None:
    word = f"unstorable-{uuid4().hex}"
    async with _refusing(stack, word):
        execution = await stack.start("[[say one]]", interactive=True)
        await stack.until_event(execution, "turn.completed")
        handle = stack.temporal.get_workflow_handle((await stack.get(execution))["workflow_id"])
        await handle.execute_update("send_message", {"content": word})  # pyright: ignore[reportUnknownMemberType]
        await stack.until_status(execution, "failed", timeout=90)

    error = (await stack.get(execution))["error"]
    assert (error["code"], error["retryable"]) == ("internal_error", False)
    assert (await stack.types(execution))[-1] == "execution.failed"


@asynccontextmanager
async def _refusing(stack: Stack, word: str) -> AsyncGenerator[None]:
    """A database that does not take a message, whatever the reason."""
    name = word.replace("-", "_")
    url = stack.database_url.replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN IF NEW.content = '{word}' THEN RAISE 'no'; END IF; RETURN NEW; END $$".encode()
        )
        made = f"CREATE TRIGGER {name} BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION {name}()"
        await connection.execute(made.encode())
        yield
        await connection.execute(f"DROP FUNCTION {name} CASCADE".encode())
