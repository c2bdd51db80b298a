"""A request is known again however its framework has put it, and only then."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import orjson
import pytest

from services.control_plane_client.models import StepStatus
from services.model_gateway.call import CallRequest
from services.model_gateway.server import WIRES
from services.model_gateway.wires.wire import ModelWire
from tests.services.model_gateway.gateways import Turns

CHAT, MESSAGES, RESPONSES, _ = WIRES
MARK = {"type": "ephemeral"}
REMINDER = "<system-reminder>\n<total_tokens>{} tokens left</total_tokens>\n</system-reminder>"

Change = Callable[[Any], object]


def chat() -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": "add", "arguments": "{}"}} for name in "ab"]
    results = [{"role": "tool", "tool_call_id": name, "content": f"result {name}"} for name in "ab"]
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": calls}, *results]
    return {"model": "m", "messages": messages}


def responses() -> dict[str, Any]:
    calls = [{"type": "function_call", "call_id": name, "name": "add", "arguments": "{}"} for name in "ab"]
    results = [{"type": "function_call_output", "call_id": name, "output": f"result {name}"} for name in "ab"]
    return {"model": "m", "input": [{"role": "user", "content": "go"}, *calls, *results]}


def messages() -> dict[str, Any]:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    calls: list[dict[str, Any]] = [{"type": "tool_use", "id": name, "name": "add", "input": {}} for name in "ab"]
    results = [{"type": "tool_result", "tool_use_id": name, "content": f"result {name}"} for name in "ab"]
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [thought, *calls]},
        {"role": "user", "content": results},
    ]
    return {"model": "m", "max_tokens": 9, "messages": said}


BODIES = {CHAT: chat, RESPONSES: responses, MESSAGES: messages}


def asked(wire: ModelWire, body: Mapping[str, Any]) -> CallRequest:
    return CallRequest(wire, dict(body), orjson.dumps(body), "", {}, 0.0)


def known(wire: ModelWire, change: Change) -> tuple[bool, bool]:
    """Whether a changed request has the same hash, and the same fingerprint."""
    body = BODIES[wire]()
    changed = deepcopy(body)
    change(changed)
    one, other = asked(wire, body), asked(wire, changed)
    return one.digest() == other.digest(), one.fingerprint() == other.fingerprint()


def swap(found: list[Any], one: int, other: int) -> None:
    found[one], found[other] = found[other], found[one]


THE_SAME: list[tuple[ModelWire, Change]] = [
    (CHAT, lambda body: swap(body["messages"], -1, -2)),
    (RESPONSES, lambda body: swap(body["input"], -1, -2)),
    (MESSAGES, lambda body: swap(body["messages"][-1]["content"], -1, -2)),
    (MESSAGES, lambda body: body["messages"][1]["content"].pop(0)),
    (MESSAGES, lambda body: body["messages"][-1]["content"][-1].update(cache_control=MARK)),
    (
        MESSAGES,
        lambda body: body["messages"][0].update(content=[{"type": "text", "text": "go", "cache_control": MARK}]),
    ),
    (
        MESSAGES,
        lambda body: body["messages"][-1]["content"][0].update(content=[{"type": "text", "text": "result a"}]),
    ),
]


@pytest.mark.parametrize(("wire", "change"), THE_SAME)
def test_how_a_framework_puts_it_does_not_count(wire: ModelWire, change: Change) -> None:
    assert known(wire, change) == (True, True)


OTHERS: list[tuple[ModelWire, Change]] = [
    (CHAT, lambda body: swap(body["messages"], 0, 1)),
    (CHAT, lambda body: body["messages"][-1].update(tool_call_id="a")),
    (CHAT, lambda body: body["messages"][-1].update(content="result a")),
    (RESPONSES, lambda body: body["input"][-1].update(output="result a")),
    (MESSAGES, lambda body: body["messages"][-1]["content"][-1].update(content="result a")),
    (MESSAGES, lambda body: body["messages"][1]["content"][-1].update(id="c")),
    (MESSAGES, lambda body: body["messages"].append({"role": "user", "content": "and now?"})),
]


@pytest.mark.parametrize(("wire", "change"), OTHERS)
def test_another_request_is_another(wire: ModelWire, change: Change) -> None:
    assert known(wire, change)[0] is False


@pytest.mark.parametrize("wire", [CHAT, RESPONSES, MESSAGES])
def test_a_reminder_in_a_tools_result_is_the_tools_own(wire: ModelWire) -> None:
    digests = {asked(wire, _replaced(wire, REMINDER.format(left))).digest() for left in (1, 2)}

    assert len(digests) == 2


@pytest.mark.parametrize("odd", [None, "go", 7, [None], [[]], [{"role": "tool"}], [{"content": None}], {"a": 1}])
@pytest.mark.parametrize("wire", WIRES)
def test_odd_requests_have_hashes_too(wire: ModelWire, odd: Any) -> None:
    body = {"model": "m", "messages": odd, "input": odd, "system": odd, "tools": odd}

    assert asked(wire, body).digest() == asked(wire, deepcopy(body)).digest()


@pytest.mark.parametrize("wire", [CHAT, RESPONSES])
def test_requests_as_most_frameworks_send_them_keep_their_hashes(wire: ModelWire) -> None:
    request = asked(wire, BODIES[wire]())

    assert (request.digest(), request.fingerprint()) == request.former()


async def test_journals_of_before_are_read(turns: Turns) -> None:
    """The hash of a request that was written down before requests had a canonical form."""
    more: dict[str, Any] = {"system": [{"type": "text", "text": "Be brief.", "cache_control": MARK}]}
    more = more if turns.wire == "anthropic" else {}
    async with turns.open() as first:
        await first.ask("[[say hi]]", **more)
    step = first.steps.done
    body = step.request["body"]
    wire = next(wire for wire in WIRES if wire.path == step.request["path"])
    digest, fingerprint = asked(wire, body).former()
    claimed = step.model_copy(
        update={"hash": digest, "fingerprint": fingerprint, "status": StepStatus.CLAIMED, "response": None}
    )
    old = step.model_copy(update={"hash": digest, "fingerprint": fingerprint, "ordinal": 2})

    async with turns.open(recorded=[claimed, old], marker=first.marker) as second:
        await second.ask("[[say hi]]", **more)

    assert second.steps.writes == []
    assert len(await turns.calls(first)) == 1


def _replaced(wire: ModelWire, text: str) -> dict[str, Any]:
    written = orjson.dumps(BODIES[wire]()).replace(b'"result b"', orjson.dumps(text))
    return orjson.loads(written)
