"""What is recorded of a stream, and what comes out of a record."""

from typing import Any

import orjson
import pytest

from services.model_gateway.pricing import Tokens
from services.model_gateway.sse import DONE, EventReader, written
from services.model_gateway.wires.chat import ChatWire
from services.model_gateway.wires.messages import MessagesWire
from services.model_gateway.wires.responses import ResponsesWire
from services.model_gateway.wires.wire import Part, Recording, likeness

HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}


def arguments(index: int, text: str) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]})


def begun(index: int, name: str) -> dict[str, Any]:
    call = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
    return chunk({"tool_calls": [call]})


def record(recording: Recording, *events: dict[str, Any]) -> list[Part]:
    return [recording.add(orjson.loads(orjson.dumps(event))) for event in events]


def block(kind: str, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def test_chat_text_is_joined_and_its_padding_dropped() -> None:
    recording = ChatWire().recording({})

    record(
        recording,
        chunk({"role": "assistant", "content": ""}),
        {**chunk({"content": "a"}), "obfuscation": "xx"},
        {**chunk({"content": "b"}), "obfuscation": "yyyy"},
        chunk({"content": "c"}),
    )

    assert recording.events == [chunk({"role": "assistant", "content": ""}), chunk({"content": "abc"})]


def test_chat_calls_are_held_until_they_are_whole() -> None:
    mender = ChatWire().mender({}, "seed")
    events = [
        begun(0, "one"),
        arguments(0, '{"a"'),
        arguments(0, ": 1}"),
        begun(1, "two"),
        arguments(1, "{}"),
        chunk({}, "tool_calls"),
    ]

    told = [event for each in events for event in mender.mend(each, "") or ()]
    rest = mender.rest(is_told=True)

    *calling, end = [event["choices"][0] for event in rest]
    calls = [choice["delta"]["tool_calls"][0] for choice in calling]
    assert [event["choices"][0]["delta"] for event in told] == [{}]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [("call_0", '{"a": 1}'), ("call_1", "{}")]
    assert (end["delta"], end["finish_reason"]) == ({}, "tool_calls")


def test_what_is_not_known_is_kept_as_it_came() -> None:
    recording = ChatWire().recording({})
    events = [
        chunk({"thought": "a"}),
        chunk({"thought": "b"}),
        chunk({"content": "c"}, logprobs={"content": [1]}),
        chunk({"content": "d"}, logprobs={"content": [2]}),
        {**chunk({"content": "e"}), "service_tier": "flex"},
    ]

    record(recording, *events)

    assert recording.events == events


def test_two_choices_are_not_mixed() -> None:
    recording = ChatWire().recording({})
    other = {**chunk({"content": "x"})}
    other["choices"] = [{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]

    record(recording, chunk({"content": "a"}), other, chunk({"content": "b"}))

    assert [event["choices"][0]["index"] for event in recording.events] == [0, 1, 0]


def test_thinking_keeps_its_signature() -> None:
    recording = MessagesWire().recording({})
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    signature = block("signature_delta", signature="abc==")

    parts = record(
        recording,
        start,
        block("thinking_delta", thinking="let "),
        {"type": "ping"},
        block("thinking_delta", thinking="me"),
        signature,
        {"type": "content_block_stop", "index": 0},
    )

    assert recording.events[1:3] == [block("thinking_delta", thinking="let me"), signature]
    assert Part.ENDING not in parts


def test_a_whole_tool_call_belongs_to_the_end() -> None:
    recording = MessagesWire().recording({})
    use: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}

    parts = record(
        recording,
        {"type": "content_block_start", "index": 0, "content_block": use},
        block("input_json_delta", partial_json='{"q"'),
        block("input_json_delta", partial_json=": 1}"),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    )

    assert parts == [Part.OPENING, Part.CONTENT, Part.CONTENT, Part.ENDING, Part.ENDING]


def test_anthropic_usage_counts_cached_tokens_as_input() -> None:
    recording = MessagesWire().recording({})
    usage = {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 1}

    record(
        recording,
        {"type": "message_start", "message": {"model": "claude", "usage": usage}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 33}},
    )

    assert recording.tokens == Tokens(input=130, output=33, cached=100, cache_written=20)
    assert recording.model == "claude"


def test_responses_join_the_texts_of_one_part() -> None:
    recording = ResponsesWire().recording({})
    place: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    text: dict[str, Any] = {"type": "response.output_text.delta", **place}

    record(
        recording,
        {**text, "delta": "a", "sequence_number": 4, "obfuscation": "x"},
        {**text, "delta": "b", "sequence_number": 5, "obfuscation": "yy"},
        {**text, "delta": "c", "sequence_number": 6, "content_index": 1},
    )

    assert [(event["delta"], event["content_index"]) for event in recording.events] == [("ab", 0), ("c", 1)]


def test_events_are_read_however_they_are_cut() -> None:
    data = [{"n": 1, "text": "é\n"}, {"n": 2}]
    stream = b"".join(written(item, "name") for item in data) + b"data: [DONE]\n\n"

    for size in range(1, len(stream)):
        reader = EventReader()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [event.data for piece in pieces for event in reader.feed(piece)] == [*data, DONE]


def test_time_and_chance_are_no_likeness() -> None:
    one = likeness("Today is Saturday, 2026-11-21 08:15:03.123, run 3fa85f64-5717-4562 at 0x7f12ab, epoch 1763712345")
    other = likeness("Today is Sunday, 2026-11-22 09:16:44.001, run 9bc1f0aa-0000-1111 at 0x7fffff, epoch 1763799999")

    assert one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sat Nov 21 09:10:01 UTC 2026", "Sun Nov 22 10:10:59 UTC 2026"),
        ("On September 1 at 9:05", "On December 24 at 19:15"),
        ("id V1StGXR8_Z5jdHi6B-myT", "id 3kTMd9pLw2QzXy7Rb-aaB"),
    ],
)
def test_dates_and_ids_come_in_many_shapes(one: str, other: str) -> None:
    assert likeness(one) == likeness(other)


def test_what_a_task_is_about_is_a_likeness() -> None:
    assert likeness("Summarise chapter 1 of a.txt") != likeness("Summarise chapter 2 of a.txt")
    assert likeness("Part 1/3 of chapter12.txt") != likeness("Part 2/3 of chapter12.txt")
    assert likeness("Read file1.py") != likeness("Read file2.py")
    assert likeness("Look up Oslo") != likeness("Look up Bergen")
