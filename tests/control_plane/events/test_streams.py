"""What any reader of the stream concatenated, across cuts and replicas, equals the log."""

import asyncio
import random
from collections.abc import AsyncGenerator

import httpx
import pytest

from tests.invariants import text_of
from tests.readers import Reader
from tests.stack import Stack, free_port

SCRIPT = "[[emit 40 @80;; tool list_files {};; emit 40 @80;; say end]]"


@pytest.fixture(scope="module")
async def replica(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """A second API process on the same database."""
    port = free_port()
    process = stack.add("replica", "api", environment=stack.api_environment(port))
    process.start()
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=stack.http.headers, timeout=70, trust_env=False
    )

    async def answers() -> bool:
        try:
            return (await client.get("/health/ready")).is_success
        except httpx.TransportError:
            return False

    await stack.until(answers)
    yield client
    await client.aclose()
    await asyncio.to_thread(process.stop)


@pytest.fixture(scope="module")
async def writer(stack: Stack) -> str:
    """An agent with a tool, so that a turn has several messages."""
    await stack.agent("writer", toolsets=[{"type": "file_system"}])
    return "writer"


@pytest.mark.parametrize("seed", range(6))
async def test_readers_that_are_cut_anywhere_get_the_whole_log(
    stack: Stack, replica: httpx.AsyncClient, writer: str, seed: int
) -> None:
    choices = random.Random(seed)
    execution = await stack.start(SCRIPT, writer)
    reader = Reader(execution)

    while not reader.ended:
        await reader.read(choices.choice([stack.http, replica]), choices.randint(1, 12))

    log = await stack.log(execution)
    assert reader.seqs == [event["seq"] for event in log]
    assert reader.text == text_of(log)


async def test_a_reader_that_comes_after_the_end_gets_the_whole_log(stack: Stack) -> None:
    execution = await stack.start("[[emit 30 @200]]")
    await stack.result(execution)
    reader = Reader(execution)

    await reader.read(stack.http, 1000)

    log = await stack.log(execution)
    assert reader.ended
    assert reader.seqs == [event["seq"] for event in log]


async def test_a_position_inside_a_message_gets_the_rest_of_it_after_the_end(stack: Stack) -> None:
    execution = await stack.start("[[say one two three]]")
    await stack.result(execution)
    before = next(event["seq"] for event in await stack.log(execution) if event["type"] == "message.completed") - 1

    async with stack.stream(execution, after=f"{before}.4") as events:
        first = await anext(events)
        second = await anext(events)

    assert (first["type"], first["data"]["text"]) == ("message.delta", "two three")
    assert (second["type"], second["data"]["text"]) == ("message.completed", "one two three")


async def test_nothing_is_left_after_the_last_event(stack: Stack) -> None:
    execution = await stack.start("[[say x]]")
    await stack.result(execution)
    last = (await stack.get(execution))["last_seq"]

    answer = await stack.http.get(f"/api/v1/executions/{execution}/events", headers={"Last-Event-ID": str(last)})

    assert answer.status_code == 204


@pytest.mark.parametrize(
    ("position", "status", "code"),
    [
        ("-5", 400, "seq_invalid"),
        ("abc", 400, "seq_invalid"),
        ("9" * 19, 400, "seq_invalid"),
        ("1.x", 400, "seq_invalid"),
        ("999", 416, "seq_beyond_end"),
    ],
)
async def test_a_position_that_cannot_be_is_refused(stack: Stack, position: str, status: int, code: str) -> None:
    execution = await stack.start("[[say x]]")

    answer = await stack.http.get(f"/api/v1/executions/{execution}/events", headers={"Last-Event-ID": position})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["field"] == ("Last-Event-ID" if status == 400 else None)
    await stack.result(execution)


async def test_the_first_token_does_not_wait_for_the_second(stack: Stack) -> None:
    execution = await stack.start("[[say first;; wait 3;; say second]]")

    first = await stack.until_event(execution, "message.delta")

    assert first["data"]["text"].strip() == "first"
    await stack.result(execution)
