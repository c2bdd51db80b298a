"""Nothing that a provider sends makes the gateway raise: what cannot be put right is kept as it came."""

import json
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.model_gateway.bounds import AnswerTooLarge
from services.model_gateway.door import Door
from services.model_gateway.sse import DONE, EventReader, loads, written
from services.model_gateway.wires.chat import ChatWire
from services.model_gateway.wires.messages import MessagesWire
from services.model_gateway.wires.responses import ResponsesWire
from services.model_gateway.wires.wire import ModelWire

#: Texts that mean something to a wire, so that odd values get to where they are looked at.
_WORDS = (
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"),
    *("message_stop", "text_delta", "input_json_delta", "thinking_delta", "signature_delta", "tool_use", "text"),
    *("response.completed", "response.output_item.added", "response.output_item.done", "response.output_text.delta"),
    *("response.function_call_arguments.delta", "response.function_call_arguments.done", "function_call", "message"),
    *("stop", "length", "tool_calls", "error", "end_turn", "pause_turn", "call_1", "add", "{}", '{"a": 1', "\ud83d"),
)
_NAMES = (
    *("type", "choices", "delta", "finish_reason", "tool_calls", "function", "arguments", "id", "index", "name"),
    *("content", "message", "content_block", "partial_json", "text", "usage", "response", "item", "output", "input"),
    *("call_id", "output_index", "stop_reason", "model", "reasoning_content", "prompt_tokens", "cache_creation"),
)
_ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(_WORDS)
_ODD = st.recursive(
    _ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=5),
    max_leaves=20,
)
_FUNCTIONS = st.fixed_dictionaries({}, optional={"name": _ODD, "arguments": _ODD})
_CALLS = st.fixed_dictionaries({}, optional={"index": _ODD, "id": _ODD, "type": _ODD, "function": _FUNCTIONS | _ODD})
_DELTAS = st.fixed_dictionaries({}, optional={"content": _ODD, "tool_calls": st.lists(_CALLS, max_size=3) | _ODD})
_CHOICES = st.fixed_dictionaries({}, optional={"index": _ODD, "delta": _DELTAS | _ODD, "finish_reason": _ODD})
_CHUNKS = st.fixed_dictionaries({"choices": st.lists(_CHOICES, max_size=2)}, optional={"usage": _ODD, "id": _ODD})
_TYPED = st.fixed_dictionaries(
    {"type": st.sampled_from(_WORDS)},
    optional=dict.fromkeys(("delta", "index", "content_block", "message", "response", "item", "usage"), _ODD),
)
_EVENTS = st.lists(_CHUNKS | _TYPED | st.dictionaries(st.sampled_from(_NAMES), _ODD, max_size=5), max_size=6)


@pytest.mark.parametrize("wire", [ChatWire(), MessagesWire(), ResponsesWire()], ids=lambda wire: wire.path)
@given(events=_EVENTS, is_told=st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_event_breaks_the_recorder(wire: ModelWire, events: Sequence[dict[str, Any]], is_told: bool) -> None:
    door, recording, reader = Door(wire.mender({}, "seed")), wire.recording({}), EventReader()

    for event in events:
        for read in reader.feed(b"data: " + _as_json(event) + b"\n\n"):
            recording.error(read.data)
            for told in door.enter(read):
                recording.add(told.data)
    for told in door.rest(is_told=is_told):
        recording.add(told.data)

    record = loads(orjson.dumps({"events": recording.events}))
    wire.stream(record["events"])
    wire.is_silent(record)
    wire.is_thought(record)
    assert all(isinstance(call.id, str) for call in wire.called(record))
    assert orjson.loads(orjson.dumps(recording.events)) == recording.events
    assert "\0" not in str(recording.events)


@pytest.mark.parametrize("wire", [ChatWire(), MessagesWire(), ResponsesWire()], ids=lambda wire: wire.path)
@given(body=st.dictionaries(st.sampled_from(_NAMES), _ODD | st.lists(_CHOICES, max_size=2), max_size=6))
@settings(max_examples=100, deadline=None)
def test_no_whole_answer_breaks_it(wire: ModelWire, body: dict[str, Any]) -> None:
    answer = loads(_as_json(body))

    wire.mender({}, "seed").whole(answer)
    wire.tokens(answer)
    record = {"body": answer}
    wire.is_silent(record)
    wire.called(record)
    if wire.is_answer(answer):
        wire.stream(wire.streamed(answer))
    wire.restored({"messages": [answer], "input": [answer]}, {"call_1": record})


def test_a_stream_without_a_line_is_read_in_a_time_that_grows_with_its_length() -> None:
    reader = EventReader()

    for _ in range(8_000):
        reader.feed(b"x" * 2048)

    with pytest.raises(AnswerTooLarge, match="larger than"):
        reader.feed(b"x" * 1_000_000)


@pytest.mark.parametrize("text", [b"[" * 400 + b"]" * 400, b'{"a":' * 300 + b"1" + b"}" * 300])
def test_what_is_nested_too_deeply_for_the_journal_is_no_answer(text: bytes) -> None:
    with pytest.raises(ValueError, match="nested"):
        loads(text)


def test_numbers_that_nobody_holds_do_no_harm() -> None:
    assert orjson.dumps(loads(b'{"a": 123456789012345678901234567890, "b": NaN}'))


def test_normal_events_go_on_with_their_own_bytes() -> None:
    door = Door(ChatWire().mender({}, "seed"))
    choice = {"index": 0, "delta": {"content": "hi"}, "finish_reason": None}
    sent = written({"id": "c", "choices": [choice]})

    (event,) = EventReader().feed(sent.replace(b":", b": "))

    assert event.data is not DONE
    assert door.enter(event) == (event,)


def _as_json(value: Any) -> bytes:
    """JSON with all that Python's own module writes: halves of characters, and numbers that are none."""
    return json.dumps(value).encode()
