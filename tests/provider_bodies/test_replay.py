"""The provider of the bodies: it says them as they are, counts askings, and is strict where they say so."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from runtimes.types import Wire
from tests.provider_bodies.body import every_body, named
from tests.provider_bodies.checks import CHECKS, refused
from tests.provider_bodies.replay import Replay

ARGUMENTS = '{"a": 2, "b": 3}'
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "s"}


@pytest.fixture
async def http(provider_bodies: Replay) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=provider_bodies.url, timeout=20) as client:
        yield client


def request(model: str, *after: dict[str, Any], case: str = "1", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"case {case} [[go]]"}, *after]
    return {"model": model, "messages": messages, "stream": True, **more}


def call(arguments: str = ARGUMENTS, **more: Any) -> dict[str, Any]:
    function = {"name": "add", "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function, **more}


def called(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def used(*before: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": [*before, {"type": "tool_use", "id": "t", "name": "add", "input": {}}]}


def test_all_that_was_given_is_there() -> None:
    bodies = every_body()

    assert len(bodies) == 92
    assert {body.check for body in bodies} - {None} == set(CHECKS)
    assert {body.wire for body in bodies} == {Wire.OPENAI, Wire.ANTHROPIC}
    assert named("claude-sonnet-5").wire is named("a-credit").wire is Wire.ANTHROPIC


async def test_each_asking_of_a_step_has_its_answer_and_is_counted(
    http: httpx.AsyncClient, provider_bodies: Replay
) -> None:
    answers = [await http.post("/v1/chat/completions", json=request("503-html")) for _ in range(2)]
    other = await http.post("/v1/chat/completions", json=request("503-html", case="2"))
    again = await http.post("/v1/chat/completions", json=request("503-html"))

    assert [answer.status_code for answer in (*answers, other, again)] == [503, 200, 503, 200]
    assert answers[1].text.endswith("data: [DONE]\n\n")
    assert [asked.nth for asked in provider_bodies.asked("1")] == [1, 2, 3]
    assert [asked.outcome for asked in provider_bodies.log] == ["failed", "answered", "failed", "answered"]
    assert [asked.nth for asked in provider_bodies.paid_twice()] == [3]


async def test_the_step_is_the_number_of_the_assistants_messages(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/chat/completions", json=request("args-empty", called(call())))

    assert '"Final"' in answer.text


async def test_events_have_names_on_the_wire_that_gives_them_names(http: httpx.AsyncClient) -> None:
    texts = [(await http.post("/v1/messages", json=request("a-ok", case=case))).text for case in "12"]

    assert all(text.startswith("event: message_start\ndata: {") for text in texts)
    assert texts[0] != texts[1], "two answers have the same id"


async def test_raw_text_line_ends_and_cuts_are_as_they_were(http: httpx.AsyncClient) -> None:
    text = (await http.post("/v1/chat/completions", json=request("sse-odd"))).text

    assert text.startswith(": keep-alive\r\n\r\nevent: message\r\nid: 1\r\nretry: 500\r\n")
    assert "\\u2028Ende\\ud83d\\udc68" in text


async def test_a_provider_that_insists_says_so_in_its_words(http: httpx.AsyncClient, provider_bodies: Replay) -> None:
    forgotten = await http.post("/v1/chat/completions", json=request("deepseek-v4-pro", called(call())))
    sent = request("mistral-stream-options", stream_options={"include_usage": True})
    extra = await http.post("/v1/chat/completions", json=sent)

    assert (forgotten.status_code, extra.status_code) == (400, 422)
    assert "must be passed back" in forgotten.json()["error"]["message"]
    assert [asked.outcome for asked in provider_bodies.log] == ["refused", "refused"]


async def test_an_unknown_model_is_not_found(http: httpx.AsyncClient) -> None:
    answers = [await http.post("/v1/messages", json=request(name)) for name in ("nosuch", "../body")]

    assert [answer.status_code for answer in answers] == [404, 404]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("reasoning_content", called(call(), reasoning_content="Hm."), called(call())),
        (
            "thought_signature",
            called(call(extra_content={"google": {"thought_signature": "s"}})),
            called(call(extra_content={"google": {}})),
        ),
        ("thinking", used(THOUGHT), used()),
        ("thinking", used({"type": "redacted_thinking", "data": "x"}), used({**THOUGHT, "signature": ""})),
        ("thinking", used(THOUGHT), used({"type": "text", "text": "Hm."}, THOUGHT)),
        ("tool_json", called(call("{}")), called(call('{"a": 2, "b'))),
        ("ids", called(call(), call(id="other")), called(call(), call())),
        ("ids", called(call()), called(call(id=""))),
    ],
)
def test_a_check_takes_what_is_right_and_refuses_what_is_not(
    check: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert refused(check, request("any", good)) is None
    refusal = refused(check, request("any", bad))
    assert refusal is not None
    assert refusal.status == 400


def test_thoughts_are_not_asked_for_where_thinking_is_off() -> None:
    assert refused("thinking", request("any", used(), thinking={"type": "disabled"})) is None
