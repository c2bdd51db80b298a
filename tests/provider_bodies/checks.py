"""Demands of strict providers: each refuses a conversation in the provider's own words, or lets it pass."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

Request = Mapping[str, Any]
_THOUGHTS = ("thinking", "redacted_thinking")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer."""

    body: Any
    status: int = 400


def _openai(message: str, code: str | None = None, param: str | None = None) -> Refusal:
    return Refusal({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})


def _reasoning_content(request: Request) -> Refusal | None:
    if all(message.get("reasoning_content") for message in _assistants(request) if message.get("tool_calls")):
        return None
    words = "The `reasoning_content` in the thinking mode must be passed back to the API."
    return _openai(words, code="invalid_request_error")


def _thought_signature(request: Request) -> Refusal | None:
    for call in _calls(request):
        if not _object(_object(call, "extra_content"), "google").get("thought_signature"):
            words = (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to"
                " work correctly, and missing thought_signature may lead to degraded model performance. Additional"
                f" data, function call `default_api:{call['function']['name']}` , position 2."
            )
            return Refusal([{"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}])
    return None


def _thinking(request: Request) -> Refusal | None:
    """With thinking, what called tools begins with its thoughts, signed or sealed; adaptive thinking lets it pass."""
    if _object(request, "thinking").get("type", "enabled") != "enabled":
        return None
    for at, message in enumerate(request["messages"]):
        kinds = _kinds(message) if message.get("role") == "assistant" else []
        if "tool_use" in kinds and (kinds[0] not in _THOUGHTS or not _is_sealed(message["content"][0])):
            words = (
                f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`."
                " When `thinking` is enabled, a final `assistant` message must start with a thinking block"
            )
            return Refusal({"type": "error", "error": {"type": "invalid_request_error", "message": words}})
    return None


def _tool_json(request: Request) -> Refusal | None:
    for call in _calls(request):
        arguments = call["function"]["arguments"]
        try:
            orjson.loads(arguments)
        except (orjson.JSONDecodeError, TypeError):
            return _openai(f"messages.tool_calls.function.arguments is not valid JSON: {str(arguments)[:60]!r}")
    return None


def _ids(request: Request) -> Refusal | None:
    ids = [call.get("id") for call in _calls(request)]
    if all(ids) and len(set(ids)) == len(ids):
        return None
    return _openai(f"tool call ids missing or not unique: {ids}")


def _no_stream_options(request: Request) -> Refusal | None:
    if "stream_options" not in request:
        return None
    place = ["body", "stream_options", "include_usage"]
    told = {"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted", "input": True}
    message: dict[str, Any] = {"detail": [told]}
    body = {"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Refusal(body, 422)


def _max_tokens(request: Request) -> Refusal | None:
    if "max_tokens" not in request:
        return None
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return _openai(words, code="unsupported_parameter", param="max_tokens")


CHECKS: Mapping[str, Callable[[Request], Refusal | None]] = {
    "reasoning_content": _reasoning_content,
    "thought_signature": _thought_signature,
    "thinking": _thinking,
    "tool_json": _tool_json,
    "ids": _ids,
    "no_stream_options": _no_stream_options,
    "max_tokens": _max_tokens,
}


def refused(check: str | None, request: Request) -> Refusal | None:
    """The refusal of a provider that insists on something; None if it takes the request."""
    return CHECKS[check](request) if check else None


def _assistants(request: Request) -> Iterator[dict[str, Any]]:
    return (message for message in request["messages"] if message.get("role") == "assistant")


def _calls(request: Request) -> Iterator[dict[str, Any]]:
    return (call for message in _assistants(request) for call in message.get("tool_calls") or ())


def _kinds(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    return [block["type"] for block in cast("list[dict[str, Any]]", content)] if isinstance(content, list) else []


def _object(owner: Mapping[str, Any], name: str) -> dict[str, Any]:
    return owner.get(name) or {}


def _is_sealed(block: Mapping[str, Any]) -> bool:
    return bool(block.get("signature") or block.get("data"))
