"""Executions: accepted once, listed by what they are, refused what they cannot do any more."""

import asyncio
import json
from uuid import uuid4

import pytest

from tests.control_plane.api.organizations import UNKNOWN, code
from tests.stack import Stack

EXECUTIONS = "/api/v1/executions"
PROMPT = {"agent_id": "plain", "prompt": "[[say x]]"}


async def test_fifty_equal_requests_make_one_execution(stack: Stack) -> None:
    headers = {"Idempotency-Key": "fifty"}

    answers = await asyncio.gather(*(stack.http.post(EXECUTIONS, json=PROMPT, headers=headers) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({(answer.json()["id"], answer.headers["location"]) for answer in answers}) == 1
    session = answers[0].json()["session_id"]
    listed = (await stack.http.get(EXECUTIONS, params={"session_id": session})).json()["items"]
    assert len(listed) == 1


async def test_a_key_is_bound_to_its_body(stack: Stack) -> None:
    headers = {"Idempotency-Key": "bound"}
    await stack.http.post(EXECUTIONS, json=PROMPT, headers=headers)

    answer = await stack.http.post(EXECUTIONS, json=PROMPT | {"prompt": "other"}, headers=headers)

    assert code(answer) == (422, "idempotency_mismatch")


async def test_a_repeated_message_is_queued_once(stack: Stack) -> None:
    execution = await stack.start("[[say x]]", "plain", interactive=True)
    url, headers = f"{EXECUTIONS}/{execution}/messages", {"Idempotency-Key": "message"}
    await stack.until_status(execution, "waiting")

    first = await stack.http.post(url, json={"content": "[[say y]]"}, headers=headers)
    second = await stack.http.post(url, json={"content": "[[say y]]"}, headers=headers)
    other = await stack.http.post(url, json={"content": "[[say z]]"}, headers=headers)

    assert (first.status_code, first.json()) == (202, second.json())
    assert code(other) == (422, "idempotency_mismatch")
    await stack.http.post(f"{EXECUTIONS}/{execution}/close")
    assert (await stack.result(execution))["response"] == "y"


async def test_an_ended_execution_takes_nothing_more(stack: Stack) -> None:
    execution = await stack.start("[[say x]]", "plain", interactive=True)
    await stack.http.post(f"{EXECUTIONS}/{execution}/cancel")
    await stack.until_status(execution, "cancelled")

    answers = [
        await stack.http.post(f"{EXECUTIONS}/{execution}/{action}", json=body)
        for action, body in (("cancel", None), ("interrupt", None), ("close", None), ("messages", {"content": "x"}))
    ]

    assert [code(answer) for answer in answers] == [(409, "execution_closed")] * 4
    assert {answer.json()["execution_status"] for answer in answers} == {"cancelled"}


async def test_an_execution_of_one_turn_takes_no_message(stack: Stack) -> None:
    execution = await stack.start("[[wait 60]]", "plain")

    answer = await stack.http.post(f"{EXECUTIONS}/{execution}/messages", json={"content": "x"})

    assert code(answer) == (409, "execution_not_interactive")
    await stack.http.post(f"{EXECUTIONS}/{execution}/cancel")
    await stack.until_status(execution, "cancelled")


async def test_nothing_can_be_interrupted_between_two_turns(stack: Stack) -> None:
    execution = await stack.start("[[say x]]", "plain", interactive=True)
    await stack.until_status(execution, "waiting")

    answer = await stack.http.post(f"{EXECUTIONS}/{execution}/interrupt")

    assert code(answer) == (409, "turn_not_running")
    await stack.http.post(f"{EXECUTIONS}/{execution}/close")
    await stack.result(execution)


async def test_executions_are_listed_by_what_they_are(stack: Stack) -> None:
    agent = await stack.agent("counted", runtime="scripted", model_id="none")
    ended = [await stack.start("[[say x]]", "counted", metadata={"number": number}) for number in range(3)]
    failed = await stack.start("[[fail no]]", "counted")
    for execution in (*ended, failed):
        await stack.result(execution)
    mine = {"agent_id": agent["id"]}

    first = (await stack.http.get(EXECUTIONS, params=mine | {"limit": 2, "status": "completed"})).json()
    rest = (
        await stack.http.get(EXECUTIONS, params=mine | {"status": "completed", "cursor": first["next_cursor"]})
    ).json()
    others = (await stack.http.get(EXECUTIONS, params=mine | {"runtime": "default"})).json()

    assert [each["id"] for each in first["items"] + rest["items"]] == ended[::-1]
    assert [each["metadata"]["number"] for each in first["items"]] == [2, 1]
    assert rest["next_cursor"] is None
    assert others["items"] == []


@pytest.mark.parametrize(
    ("change", "status", "expected"),
    [
        ({"agent_id": UNKNOWN}, 404, "agent_unknown"),
        ({"agent_id": "nobody"}, 404, "agent_unknown"),
        ({"session_id": UNKNOWN}, 404, "not_found"),
        ({"runtime": "agnoo"}, 422, "runtime_unknown"),
        ({"prompt": None}, 422, "field_missing"),
    ],
)
async def test_an_execution_of_nothing_is_refused(
    stack: Stack, change: dict[str, str], status: int, expected: str
) -> None:
    answer = await stack.http.post(EXECUTIONS, json=PROMPT | change)

    assert code(answer) == (status, expected)


async def test_the_result_of_a_running_execution_is_not_there_yet(stack: Stack) -> None:
    execution = await stack.start("[[wait 60]]", "plain")

    answer = await stack.http.get(f"{EXECUTIONS}/{execution}/result", params={"wait": 0.2})

    assert answer.status_code == 202
    assert answer.json()["execution_id"] == execution
    await stack.http.post(f"{EXECUTIONS}/{execution}/cancel")
    assert (await stack.result(execution))["success"] is False


async def test_a_prompt_of_a_megabyte_is_answered(stack: Stack) -> None:
    prompt = "x" * 1_000_000

    result = await stack.result(await stack.start(prompt, "plain"))

    assert result["response"].endswith(prompt)


async def test_a_prompt_of_twenty_megabytes_is_refused_early(stack: Stack) -> None:
    body = json.dumps(PROMPT | {"prompt": "x" * 20_000_000}).encode()

    answer = await stack.http.post(EXECUTIONS, content=body, headers={"Content-Type": "application/json"})

    assert code(answer) == (413, "body_too_large")
    assert answer.json()["limit"] == 16 * 1024 * 1024


async def test_a_body_without_an_end_is_refused_while_it_comes(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["api"])
    head = f"POST {EXECUTIONS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {stack.api_key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

    for _ in range(17):
        writer.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
        await writer.drain()
    answer = await reader.readuntil(b'"limit":16777216}')

    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_admission_makes_its_session_once_and_answers_alike_when_repeated(stack: Stack) -> None:
    execution, session = str(uuid4()), str(uuid4())
    wanted = PROMPT | {"execution_id": execution, "session_id": session}
    body = {"execution_id": execution, "workflow_id": "afar", "first_run_id": "run", "input": wanted}
    headers = {"Authorization": f"Bearer {stack.worker_key}"}

    answers = [await stack.http.post("/internal/v1/executions", json=body, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["session_id"] == session
    assert (await stack.http.get(f"/api/v1/sessions/{session}")).json()["title"] == "[[say x]]"
    assert await stack.types(execution) == ["execution.accepted"]
    await stack.result(execution)


async def test_a_repeated_key_gives_its_execution_after_the_agent_is_gone(stack: Stack) -> None:
    agent = await stack.agent("short-lived", runtime="scripted", model_id="none")
    body, headers = {"agent_id": agent["id"], "prompt": "[[say x]]"}, {"Idempotency-Key": "outlives"}
    made = (await stack.http.post(EXECUTIONS, json=body, headers=headers)).json()
    await stack.result(made["id"])
    deleted = await stack.http.delete(f"/api/v1/agents/{agent['id']}")

    answer = await stack.http.post(EXECUTIONS, json=body, headers=headers)

    assert deleted.status_code == 204
    assert (answer.status_code, answer.json()["id"]) == (200, made["id"])
