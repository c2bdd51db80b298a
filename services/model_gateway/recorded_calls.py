"""The tool calls of a conversation, as the gateway knows them: those of an answer, its end, and results sent back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtimes.finish_reasons import finish_of
from runtimes.types import FinishReason
from services.asked_calls import AskedCall
from services.model_gateway.wires.wire import ModelWire, items, mapping

#: What the responses wire calls an answer that was cut.
_INCOMPLETE = {"max_output_tokens": "length"}


def end_of(record: Mapping[str, Any]) -> FinishReason:
    """Tell why an answer, as the journal has it, ended."""
    words = [word for told in _told(record) for word in _words(told)]
    return next((reason for word in words if (reason := finish_of(word)) is not FinishReason.STOP), FinishReason.STOP)


def asked_calls(wire: ModelWire, record: Mapping[str, Any], body: Mapping[str, Any]) -> list[AskedCall]:
    """The tool calls of an answer, as the journal has it, to a request."""
    offered = set(_offered(body))
    return [
        AskedCall(call.id, call.name, call.arguments, is_known=call.name in offered) for call in wire.called(record)
    ]


def results_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The results of tools that a request brings back, by their calls' ids."""
    return dict(_results(body))


def _told(record: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    return [mapping(record.get("body")), *items(record.get("events"))]


def _words(told: Mapping[str, Any]) -> Iterator[str]:
    """The words for the end that an event or a whole answer of any wire may have."""
    response = mapping(told.get("response")) or told
    reason = mapping(response.get("incomplete_details")).get("reason")
    for choice in items(told.get("choices")):
        yield str(choice.get("finish_reason") or "")
    yield str(told.get("stop_reason") or mapping(told.get("delta")).get("stop_reason") or "")
    yield _INCOMPLETE.get(str(reason), str(reason or ""))


def _offered(body: Mapping[str, Any]) -> Iterator[str]:
    for tool in items(body.get("tools")):
        yield str(mapping(tool.get("function")).get("name") or tool.get("name") or tool.get("type"))


def _results(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for message in (*items(body.get("messages")), *items(body.get("input"))):
        if message.get("role") == "tool":
            yield str(message.get("tool_call_id")), _text(message.get("content"))
        elif str(message.get("type")).endswith("_call_output"):
            yield str(message.get("call_id")), _text(message.get("output"))
        for block in items(message.get("content")):
            if block.get("type") == "tool_result":
                yield str(block.get("tool_use_id")), _text(block.get("content"))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in items(content))
