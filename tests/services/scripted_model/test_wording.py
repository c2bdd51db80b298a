"""A model that never says the same twice, and one whose calls and characters are odd."""

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.scripted_model.actions import Text, Thoughts, ToolCall, ToolCalls
from services.scripted_model.process import scripted_model
from services.scripted_model.wording import reworded, torn
from tests.services.scripted_model.conftest import Provider

EMOJI = "\N{GRINNING FACE}"
HALVES = ("\ud83d", "\ude00")


def chat(prompt: str, *more: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}, *more], **fields}


async def message(http: httpx.AsyncClient, prompt: str, *more: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post("/v1/chat/completions", json=chat(prompt, *more))
    assert answer.is_success, answer.text
    return answer.json()["choices"][0]["message"]


def call_of(said: dict[str, Any]) -> tuple[Any, Any]:
    """A call's id and arguments."""
    [call] = said["tool_calls"]
    return call.get("id"), call["function"]["arguments"]


@pytest.fixture
async def rewording() -> AsyncGenerator[httpx.AsyncClient]:
    async with scripted_model("--reword") as client:
        yield client


async def test_a_script_that_rewords_says_nothing_twice(provider: Provider) -> None:
    prompt = f'{uuid4()} [[reword;; say Let me pay.;; tool pay {{"sum": 1, "why": "~"}};; say Paid.]]'

    first, second, third = [await message(provider.http, prompt) for _ in range(3)]
    last = await message(provider.http, prompt, first, {"role": "tool", "tool_call_id": "x", "content": "done"})

    assert first["content"] == "Let me pay."
    assert len({said["content"] for said in (first, second, third)}) == 3
    assert len({call_of(said) for said in (first, second, third)}) == 3
    assert len({call_of(said)[0] for said in (first, second, third)}) == 3
    values = [json.loads(call_of(said)[1]) for said in (first, second, third)]
    assert [value["sum"] for value in values] == [1, 1, 1]
    assert len({value["why"] for value in values}) == 3
    assert last["content"] == "Paid."


async def test_a_provider_that_rewords_does_so_for_every_script(rewording: httpx.AsyncClient) -> None:
    first, second = [await message(rewording, '[[say Hello.;; tool look {"at": 1}]]') for _ in range(2)]

    assert (first["content"], second["content"]) == ("Hello.", "Hello. (in other words, 2)")
    assert call_of(first)[0] != call_of(second)[0]


async def test_askings_are_counted_in_the_log(provider: Provider) -> None:
    prompt = f"counted {uuid4()} [[tool look {{}};; say Seen.]]"
    answered = [
        await message(provider.http, prompt),
        {"role": "tool", "tool_call_id": "x", "content": "done"},
    ]

    await message(provider.http, prompt)
    await message(provider.http, prompt, *answered)

    logged = await provider.requests(contains=prompt)
    assert [(each["round"], each["nth"]) for each in logged] == [(0, 1), (0, 2), (1, 1)]


def test_json_keeps_its_meaning_in_other_words() -> None:
    first, second = [reworded(Text(('{"a": 1, "b": [2]}',)), asking) for asking in (1, 2)]

    assert isinstance(first, Text)
    assert isinstance(second, Text)
    assert first != second
    assert json.loads(second.pieces[0]) == json.loads(first.pieces[0])


def test_broken_arguments_stay_as_they_are() -> None:
    calls = ToolCalls((ToolCall("look", '{"a": '),))

    assert reworded(calls, 2) == calls


@pytest.mark.parametrize(("kind", "ids"), [("missing", [None, None]), ("empty", ["", ""]), ("same", ["call_same"] * 2)])
async def test_ids_are_as_odd_as_the_script_wants_them(provider: Provider, kind: str, ids: list[str | None]) -> None:
    said = await message(provider.http, f"[[ids {kind};; tool look {{}} && look {{}}]]")

    assert [call.get("id") for call in said["tool_calls"]] == ids
    assert all(("id" in call) == (kind != "missing") for call in said["tool_calls"])


async def test_ids_are_odd_on_the_other_wires_too(provider: Provider) -> None:
    prompt = "[[ids missing;; tool look {}]]"
    body = {**chat(prompt), "max_tokens": 10}
    used = (await provider.http.post("/v1/messages", json=body)).json()["content"]
    called = (await provider.http.post("/v1/responses", json={"model": "m", "input": prompt})).json()["output"]

    assert "id" not in used[0]
    assert "call_id" not in called[0]


async def test_raw_text_has_every_character_that_json_can_name(provider: Provider) -> None:
    said = await message(provider.http, r'[[raw "a\u0000b"]]')
    half = await provider.http.post("/v1/chat/completions", json=chat(r'[[raw "\ud83d"]]'))

    assert said["content"] == "a\0b"
    assert rb'"\ud83d"' in half.content


async def test_torn_characters_come_in_two_pieces(provider: Provider) -> None:
    prompt = f'[[tear;; say Hi {EMOJI} there;; tool look {{"at": "{EMOJI}"}}]]'
    stream = (await provider.http.post("/v1/chat/completions", json=chat(prompt, stream=True))).text
    used = (await provider.http.post("/v1/messages", json={**chat(prompt, stream=True), "max_tokens": 10})).text
    whole = await message(provider.http, prompt)

    for text in (stream, used):
        pieces = [line for line in text.splitlines() if r"\ud83d" in line or r"\ude00" in line]
        assert len(pieces) == 4
        assert not any(r"\ud83d\ude00" in line for line in pieces)
    assert whole["content"] == f"Hi {EMOJI} there"
    assert json.loads(call_of(whole)[1]) == {"at": EMOJI}


def test_what_is_torn_says_the_same() -> None:
    text, thoughts = torn(Text((f"a{EMOJI}",))), torn(Thoughts(EMOJI))

    assert text == Text((f"a{HALVES[0]}", HALVES[1]))
    assert thoughts == Thoughts("".join(HALVES))
