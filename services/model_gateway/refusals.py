"""The content of a provider's error, in whatever shape it comes: its status, its codes, its words, and its delay."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from services.model_gateway.sse import loads

#: Characters of a provider's words that are looked at.
WORDS_LIMIT = 4000
#: Objects in objects that are looked into, and entries of one list.
_DEPTH = 8
_ENTRIES = 10
_STATUSES = range(400, 600)
_CODES = ("code", "type", "status", "error_type", "error_code", "status_code", "http_code", "reason", "__type")
#: Where an error has its words, the plainest first.
_WORDS = ("message", "msg", "detail", "title")
#: What an error may have beside its words.
_INNER = ("details", "metadata", "raw", "errors")
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
_DELAY = re.compile(
    rf"\b(?:again|retry|wait)\s+(?:in|after|for)?\s*((?:\d+(?:\.\d+)?\s*{_UNIT}[\s,]*)+)", re.IGNORECASE
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SECONDS: Mapping[str, float] = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
#: Fields that name a delay, and the seconds of their unit.
_DELAYS: Mapping[str, float] = {
    "retryDelay": 1.0,
    "retry_after": 1.0,
    "retry_after_seconds": 1.0,
    "retry_after_ms": 0.001,
}
#: The words of an error page.
_TITLE = re.compile(r"<title>([^<]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`codes` are squeezed; `status` is what a code says that is one; `delay` is in seconds."""

    status: int | None
    codes: frozenset[str]
    words: str
    delay: float | None


class _Found(NamedTuple):
    """A piece of an error: an object, or a text."""

    body: Mapping[str, Any]
    text: str = ""


def read_refusal(told: Any) -> Refusal:
    """Read an error object, as a response or inside a stream."""
    found = list(_walk(told, is_error=False))
    codes = [body[name] for body, _ in found for name in _CODES if name in body]
    words = ": ".join(dict.fromkeys(filter(None, (text.strip() for _, text in found)))) or str(told)
    delays = [delay for body, _ in found if (delay := _delay(body)) is not None]
    return Refusal(
        status=next(filter(None, map(_status, codes)), None),
        codes=frozenset(squeezed(code) for code in codes if isinstance(code, str)) - {""},
        words=words[:WORDS_LIMIT],
        delay=delays[0] if delays else worded_delay(words[:WORDS_LIMIT]),
    )


def squeezed(code: str) -> str:
    """A code without what vendors write differently: case, and marks between words."""
    return re.sub(r"[\W_]+", "", code.rpartition("#")[2]).lower()


def worded_delay(words: str) -> float | None:
    """The seconds to wait that a sentence names, such as `try again in 1m12.5s`."""
    if (named := _DELAY.search(words)) is None:
        return None
    return _seconds(named.group(1))


def _walk(value: Any, *, is_error: bool, depth: int = 0) -> Iterator[_Found]:
    """The objects and texts of an error, what is wrapped before its wrapping."""
    if depth > _DEPTH:
        return
    if isinstance(value, str):
        yield from _text(value, is_error, depth)
    elif isinstance(value, list):
        for item in cast("list[Any]", value)[:_ENTRIES]:
            yield from _walk(item, is_error=is_error, depth=depth + 1)
    elif isinstance(value, dict):
        yield from _object(cast("dict[str, Any]", value), is_error, depth)


def _text(text: str, is_error: bool, depth: int) -> Iterator[_Found]:
    """A text, or the error that it is the JSON of."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            opened = loads(text[: 16 * WORDS_LIMIT].encode(errors="replace"))
        except (ValueError, RecursionError):
            pass
        else:
            yield from _walk(opened, is_error=is_error, depth=depth + 1)
            return
    title = _TITLE.search(text[:WORDS_LIMIT])
    yield _Found({}, title.group(1) if title else text)


def _object(body: Mapping[str, Any], is_error: bool, depth: int) -> Iterator[_Found]:
    yield from _walk(body.get("error"), is_error=True, depth=depth + 1)
    yield _Found(body)
    if isinstance(place := body.get("loc"), list) and isinstance(said := body.get("msg"), str):
        yield _Found({}, f"{'.'.join(map(str, cast('list[Any]', place)))}: {said}")
        return
    for name in (*_WORDS, *(_INNER if is_error else ())):
        yield from _walk(body.get(name), is_error=is_error, depth=depth + 1)


def _status(code: Any) -> int | None:
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    return code if isinstance(code, int) and code in _STATUSES else None


def _delay(body: Mapping[str, Any]) -> float | None:
    """Read the seconds of a field: Google's `retryDelay`, or a number."""
    found = ((body.get(name), unit) for name, unit in _DELAYS.items())
    return next((delay * unit for value, unit in found if (delay := _seconds(value)) is not None), None)


def _seconds(value: Any) -> float | None:
    """A number, or a text with units such as `1m12.5s`."""
    if isinstance(value, int | float):
        return None if isinstance(value, bool) else max(float(value), 0.0)
    if not isinstance(value, str) or not (pieces := _DURATION.findall(value[:80])):
        return None
    return sum(float(number) * _unit(unit.lower()) for number, unit in pieces)


def _unit(word: str) -> float:
    """Seconds of a unit; a number without one is in seconds."""
    return 0.001 if word.startswith(("ms", "milli")) else _SECONDS.get(word[:1], 1.0)
