"""Arguments in many pieces: put together in a time that grows with their length only, whoever cuts them."""

import json
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model_gateway.wires.arguments import Arguments
from services.model_gateway.wires.chat_calls import ChatCalls
from services.model_gateway.wires.mending import CallIds, is_object
from services.model_gateway.wires.message_blocks import blocks_of

PIECES = 150_000
TEXTS = st.one_of(
    st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.lists(st.integers())).map(json.dumps),
    st.text(alphabet=' {}[]"\\:,a1\n', max_size=20),
)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 40)), more=st.sampled_from(["", " ", "}", "{}"]))
def test_pieces_are_whole_when_their_text_is(text: str, cuts: list[int], more: str) -> None:
    ends = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    arguments, so_far = Arguments(), ""

    for begin, end in [*pairwise(ends), (0, None)]:
        piece = more if end is None else text[begin:end]
        arguments.add(piece)
        so_far += piece
        assert arguments.are_whole == is_object(so_far)

    assert arguments.text == so_far


def _pieces(**more: Any) -> list[dict[str, Any]]:
    inside = ['{"a": "', *(["x"] * PIECES), '"}']
    return [{"function": {"arguments": text, **more}, "index": 0} for text in inside]


def _blanks() -> list[dict[str, Any]]:
    return [{"function": {"name": "f", "arguments": text}} for text in ["{}", *([" "] * PIECES)]]


def _names() -> list[dict[str, Any]]:
    return [{"index": 0, "function": {"name": f"{number}"}} for number in range(PIECES)]


def _calls() -> list[dict[str, Any]]:
    return [{"index": number, "id": f"{number}", "function": {"name": "f"}} for number in range(PIECES)]


@pytest.mark.parametrize("pieces", [_pieces(), _pieces(name="f"), _blanks(), _names(), _calls()])
def test_pieces_of_calls_take_no_longer_the_more_there_are(pieces: list[dict[str, Any]]) -> None:
    calls, began = ChatCalls(CallIds("call_", "seed")), time.process_time()

    for piece in pieces:
        calls.add(piece)
    whole = calls.taken(is_indexed=True, is_cut=False)

    assert whole
    assert time.process_time() - began < 5


def test_deltas_of_blocks_that_take_turns_are_put_together_in_time() -> None:
    kinds = ("text_delta", "text"), ("input_json_delta", "partial_json")
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": at, "content_block": block} for at, block in enumerate(blocks)
    ]
    pieces = ['{"a": "', *(["x" * 50] * PIECES), '"}']
    events += [
        {"type": "content_block_delta", "index": at, "delta": {"type": kind, name: text}}
        for text in pieces
        for at, (kind, name) in enumerate(kinds)
    ]
    began = time.process_time()

    said, called = blocks_of({"events": events})

    assert (len(said["text"]), len(called["input"]["a"])) == (50 * PIECES + 9, 50 * PIECES)
    assert time.process_time() - began < 5


def test_citations_are_added_to_none_and_leave_the_record_as_it_is() -> None:
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": at, "content_block": {"type": "text", "text": "", "citations": given}}
        for at, given in enumerate([None, [{"a": 0}]])
    ]
    deltas = [{"type": "citations_delta", "citation": {"a": number}} for number in (1, 2)]
    told = [
        {"type": "content_block_delta", "index": at, "delta": delta} for at in range(len(events)) for delta in deltas
    ]
    before = json.dumps(events)

    said = blocks_of({"events": [*events, *told]})

    assert [block["citations"] for block in said] == [[{"a": 1}, {"a": 2}], [{"a": 0}, {"a": 1}, {"a": 2}]]
    assert json.dumps(events) == before
