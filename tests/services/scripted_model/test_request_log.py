import asyncio
from typing import Any

import httpx
import pytest

from services.scripted_model.request_log import RequestLog
from tests.services.scripted_model.conftest import Provider


def chat(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}


async def test_a_call_is_logged_with_what_was_asked_and_what_came_of_it(provider: Provider) -> None:
    tools: list[dict[str, Any]] = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    body = chat("[[say logged in full]]", tools=tools)

    response = await provider.http.post("/v1/chat/completions", json=body)

    [logged] = await provider.requests(contains="logged in full")
    assert response.headers["x-request-id"] == f"req_scripted_{logged['id']}"
    assert (
        logged.items()
        >= {
            "wire": "openai",
            "path": "/v1/chat/completions",
            "model": "m",
            "stream": False,
            "prompt": "[[say logged in full]]",
            "round": 0,
            "messages": 1,
            "tools": ["look"],
            "body": body,
            "status": 200,
            "outcome": "completed",
            "tokens_sent": 3,
        }.items()
    )
    assert logged["received_at"] <= logged["finished_at"]
    assert logged["ms_to_first_byte"] > 0


async def test_requests_that_ask_for_the_same_have_the_same_hash(provider: Provider) -> None:
    body = chat("[[say hashed]]")

    for each in (body, {"user": "somebody", **body}, {**body, "stream": False}):
        await provider.http.post("/v1/chat/completions", json=each)

    first, same, other = [logged["hash"] for logged in await provider.requests(contains="hashed")]
    assert first == same != other


async def test_a_failed_call_is_logged_as_failed(provider: Provider) -> None:
    await provider.http.post("/v1/messages", json=chat("[[error 529]] logged failure"))

    [logged] = await provider.requests(contains="logged failure")
    assert (logged["wire"], logged["status"], logged["outcome"]) == ("anthropic", 529, "failed")


async def test_a_call_that_is_no_json_is_logged_as_text(provider: Provider) -> None:
    await provider.http.post("/v1/messages", content=b"\xffno json")

    logged = (await provider.requests())[-1]
    assert (logged["body"], logged["outcome"]) == ("\ufffdno json", "failed")


async def test_a_running_call_is_seen_and_an_abandoned_one_is_aborted(provider: Provider) -> None:
    call = asyncio.create_task(provider.http.post("/v1/chat/completions", json=chat("[[hang]] abandoned")))
    running = await provider.last_request("abandoned", "running")

    call.cancel()

    aborted = await provider.last_request("abandoned", "aborted")
    assert running["id"] == aborted["id"]
    assert (running["finished_at"], running["status"]) == (None, None)
    assert aborted["finished_at"] is not None


async def test_a_caller_that_leaves_a_stream_at_full_speed_stops_it(provider: Provider) -> None:
    body = chat("[[emit 1000000]] left early", stream=True)

    async with provider.http.stream("POST", "/v1/chat/completions", json=body) as response:
        await anext(response.aiter_bytes())

    aborted = await provider.last_request("left early", "aborted")
    assert 0 < aborted["tokens_sent"] < 1_000_000


async def test_the_log_is_read_from_an_id_on(provider: Provider) -> None:
    for n in range(3):
        await provider.http.post("/v1/messages", json=chat(f"[[say page {n}]]"))
    first, *others = await provider.requests(contains="[[say page")

    later = await provider.requests(contains="[[say page", after=str(first["id"]))

    assert later == others
    assert [logged["prompt"] for logged in later] == ["[[say page 1]]", "[[say page 2]]"]


async def test_an_id_that_is_none_is_refused(provider: Provider) -> None:
    response = await provider.http.get("/requests", params={"after": "yesterday"})

    assert response.status_code == 400
    assert "yesterday" in response.json()["error"]


async def test_clearing_forgets_requests_and_failures_but_uses_no_id_again(provider: Provider) -> None:
    body = chat("[[error 500 times 1;; say cleared]]")
    before = await provider.http.post("/v1/messages", json=body)
    last = (await provider.requests())[-1]["id"]

    cleared = await provider.http.delete("/requests")
    after = await provider.http.post("/v1/messages", json=body)

    assert (before.status_code, cleared.status_code, after.status_code) == (500, 204, 500)
    assert [logged["id"] for logged in await provider.requests()] == [last + 1]


def test_the_log_keeps_the_newest_requests_only() -> None:
    log = RequestLog(most=2)

    for _ in range(3):
        with log.record("openai", "/", b"{}"):
            pass

    assert [request.id for request in log.requests()] == [2, 3]


async def test_a_method_that_the_log_does_not_know_is_refused(provider: Provider) -> None:
    response = await provider.http.post("/requests")

    assert response.status_code == httpx.codes.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_the_same_script_reads_the_same_on_both_wires(provider: Provider, path: str) -> None:
    await provider.http.post(path, json=chat(f"[[say one two]] for {path}"))

    [logged] = await provider.requests(contains=f"for {path}")
    assert (logged["round"], logged["tokens_sent"], logged["outcome"]) == (0, 2, "completed")
