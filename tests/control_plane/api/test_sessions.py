"""Sessions: conversations across executions, and the end of them."""

import psycopg

from tests.control_plane.api.organizations import UNKNOWN, code
from tests.stack import Stack

SESSIONS = "/api/v1/sessions"

COUNT_ROWS = """
    SELECT (SELECT count(*) FROM events WHERE execution_id = %(execution)s)
         + (SELECT count(*) FROM turns WHERE execution_id = %(execution)s)
         + (SELECT count(*) FROM attempts WHERE execution_id = %(execution)s)
         + (SELECT count(*) FROM deltas WHERE execution_id = %(execution)s)
         + (SELECT count(*) FROM messages WHERE session_id = %(session)s)
         + (SELECT count(*) FROM executions WHERE session_id = %(session)s)
         + (SELECT count(*) FROM sessions WHERE id = %(session)s)
"""


async def talk(stack: Stack, *prompts: str) -> str:
    """A session with an execution per prompt, each ended; its id."""
    session: dict[str, str] = {}
    for prompt in prompts:
        execution = await stack.start(prompt, "plain", **session)
        await stack.result(execution)
        session = {"session_id": (await stack.get(execution))["session_id"]}
    return session["session_id"]


async def test_a_session_is_what_was_said_across_executions(stack: Stack) -> None:
    session = await talk(stack, "[[say one]]", "[[say two]]")

    shown = (await stack.http.get(f"{SESSIONS}/{session}")).json()
    messages = (await stack.http.get(f"{SESSIONS}/{session}/messages")).json()["items"]

    assert shown["title"] == "[[say one]]"
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "[[say one]]"),
        ("assistant", "one"),
        ("user", "[[say two]]"),
        ("assistant", "two"),
    ]
    assert {message["turn"] for message in messages} == {1}
    executions = (await stack.http.get("/api/v1/executions", params={"session_id": session})).json()["items"]
    assert [message["execution_id"] for message in messages[::2]] == [each["id"] for each in executions[::-1]]


async def test_messages_are_listed_page_by_page(stack: Stack) -> None:
    session = await talk(stack, "[[say one]]", "[[say two]]")
    whole = (await stack.http.get(f"{SESSIONS}/{session}/messages")).json()["items"]

    first = (await stack.http.get(f"{SESSIONS}/{session}/messages", params={"limit": 3})).json()
    cursor = {"cursor": first["next_cursor"]}
    rest = (await stack.http.get(f"{SESSIONS}/{session}/messages", params=cursor)).json()

    assert first["items"] + rest["items"] == whole
    assert (len(first["items"]), rest["next_cursor"]) == (3, None)


async def test_a_cursor_of_one_session_is_refused_by_another(stack: Stack) -> None:
    session = await talk(stack, "[[say one]]")
    other = await talk(stack, "[[say two]]")
    cursor = (await stack.http.get(f"{SESSIONS}/{session}/messages", params={"limit": 1})).json()["next_cursor"]

    answer = await stack.http.get(f"{SESSIONS}/{other}/messages", params={"cursor": cursor})

    assert code(answer) == (400, "cursor_invalid")


async def test_sessions_are_listed_newest_first_and_by_agent(stack: Stack) -> None:
    agent = await stack.agent("talker", runtime="scripted", model_id="none")
    execution = await stack.start("[[say x]]", "talker")
    await stack.result(execution)
    newest = await talk(stack, "[[say y]]")

    listed = (await stack.http.get(SESSIONS, params={"limit": 2})).json()
    by_agent = (await stack.http.get(SESSIONS, params={"agent_id": agent["id"]})).json()

    assert listed["items"][0]["id"] == newest
    assert [session["id"] for session in by_agent["items"]] == [(await stack.get(execution))["session_id"]]
    following = (await stack.http.get(SESSIONS, params={"cursor": listed["next_cursor"]})).json()["items"]
    assert following[0]["created_at"] <= listed["items"][1]["created_at"]
    assert not {session["id"] for session in following} & {session["id"] for session in listed["items"]}


async def test_a_message_that_waits_is_not_yet_part_of_the_conversation(stack: Stack) -> None:
    execution = await stack.start("[[wait 60]]", "plain", interactive=True)
    await stack.until_event(execution, "turn.started")
    await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "later"})
    session = (await stack.get(execution))["session_id"]

    messages = (await stack.http.get(f"{SESSIONS}/{session}/messages")).json()["items"]

    assert [message["content"] for message in messages] == ["[[wait 60]]"]
    await stack.http.post(f"/api/v1/executions/{execution}/cancel")
    await stack.until_status(execution, "cancelled")


async def test_a_session_with_a_running_execution_cannot_be_deleted(stack: Stack) -> None:
    execution = await stack.start("[[wait 60]]", "plain")
    session = (await stack.get(execution))["session_id"]

    answer = await stack.http.delete(f"{SESSIONS}/{session}")

    assert code(answer) == (409, "session_in_use")
    assert answer.json()["executions"] == 1
    await stack.http.post(f"/api/v1/executions/{execution}/cancel")
    await stack.until_status(execution, "cancelled")


async def test_nothing_is_left_of_a_deleted_session(stack: Stack) -> None:
    session = await talk(stack, "[[say one]]", "[[say two]]")
    executions = (await stack.http.get("/api/v1/executions", params={"session_id": session})).json()["items"]

    answer = await stack.http.delete(f"{SESSIONS}/{session}")

    assert answer.status_code == 204
    assert code(await stack.http.get(f"{SESSIONS}/{session}")) == (404, "not_found")
    assert code(await stack.http.get(f"/api/v1/executions/{executions[0]['id']}")) == (404, "not_found")
    assert [await count_rows(stack, session, execution["id"]) for execution in executions] == [0, 0]


async def count_rows(stack: Stack, session: str, execution: str) -> int:
    """How many rows of any table remember them."""
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        found = await connection.execute(COUNT_ROWS, {"execution": execution, "session": session})
        row = await found.fetchone()
    assert row is not None
    return row[0]


async def test_an_unknown_session_is_not_found(stack: Stack) -> None:
    answers = [
        await stack.http.get(f"{SESSIONS}/{UNKNOWN}"),
        await stack.http.get(f"{SESSIONS}/{UNKNOWN}/messages"),
        await stack.http.delete(f"{SESSIONS}/{UNKNOWN}"),
        await stack.http.get(f"{SESSIONS}/no-uuid"),
    ]

    assert [code(answer) for answer in answers] == [(404, "not_found")] * 4
