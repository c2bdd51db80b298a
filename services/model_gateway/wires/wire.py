"""What the gateway has to know of each kind of call."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import takewhile
from typing import Any, ClassVar, cast

from runtimes.errors import (
    BudgetExceeded,
    ContentRefused,
    ContextTooLong,
    LimitReached,
    ModelAuthentication,
    ModelConnectionBroken,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
    RuntimeFailure,
)
from runtimes.types import Wire
from services.model_gateway.pricing import Tokens
from services.model_gateway.sse import written

#: Statuses of what a framework is told, by the first class that fits.
STATUSES: Mapping[type[RuntimeFailure], int] = {
    ModelRateLimited: 429,
    ModelOverloaded: 503,
    ModelAuthentication: 401,
    ModelQuotaExhausted: 402,
    ModelNotFound: 404,
    ContextTooLong: 400,
    ContentRefused: 400,
    ModelRequestRejected: 400,
    ModelTimeout: 504,
    ModelConnectionBroken: 502,
    BudgetExceeded: 403,
    LimitReached: 403,
}
#: A call that goes on with a conversation.
CHAT = "chat"
#: What a model says beside messages, on the responses wire.
_SPOKEN = {"function_call", "custom_tool_call", "reasoning"}
#: Of a text, what is looked at for likeness, in characters.
_TEXT_LIMIT = 500
_NUMBERED = re.compile(r"[a-z_\-]*+\d[\w\-:./]*")
#: Words with a digit that time and chance make: times, dates, long numbers, addresses, ids.
_CHANCE = re.compile(r"\d:\d\d|\d[-/]\d{1,2}[-/]\d|\d{4,}|0x|[0-9a-f\-]{8,}|[\w\-]{16,}")
_CALENDAR = re.compile(
    r"\b(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\b"
    r"|\b(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:r?uary|ch|il|ust|ember|ober)?\b\.?(?: \d\d?\b)?"
)


class Part(Enum):
    """What an event of a stream is: from the first ENDING one on nothing is passed on before the commit."""

    OPENING = "opening"
    CONTENT = "content"
    ENDING = "ending"
    DROPPED = "dropped"


class Recording:
    """A streamed answer as it comes: its events, those that only lengthen a text joined. This one takes none.

    `is_complete`: all of the answer is there; `is_over`: nothing comes after it.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens = Tokens()
        self.model = ""
        self.is_complete = False
        self.is_over = False

    def add(self, event: dict[str, Any]) -> Part:
        """Record an event and tell what it is."""
        return Part.DROPPED

    def error(self, event: dict[str, Any]) -> Any:
        """The error that an event tells of; None if it tells of none."""
        return event.get("error")


class ModelWire(ABC):
    """One kind of call: its path, its requests, its answers whole and streamed, its errors."""

    path: ClassVar[str]
    #: What traces call it.
    operation: ClassVar[str] = CHAT
    family: ClassVar[Wire]
    streams: ClassVar[bool] = True
    headers: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def shape(self, body: Mapping[str, Any]) -> Iterator[Any]:
        """What of a request is the same when only time and chance differ, beside model and stream."""

    def canonical(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of a request makes an answer its own: the same, however its framework has put it."""
        return body

    def max_output(self, body: Mapping[str, Any]) -> int:
        """The output tokens that a request asks for at most; 0 if it does not say."""
        return 0

    def prepared(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body as the provider gets it."""
        return body

    @abstractmethod
    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer that came whole is one."""

    def is_silent(self, record: Mapping[str, Any]) -> bool:
        """Whether an answer, as the journal has it, ended by itself without a word and without a call."""
        return False

    def has_results(self, body: Mapping[str, Any]) -> bool:
        """Whether a request brings results of tools: to those, silence is an answer."""
        return False

    @abstractmethod
    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        """What an answer that came whole says of its usage."""

    def recording(self, body: Mapping[str, Any]) -> Recording:
        """An empty recording for a request."""
        return Recording()

    def stream(self, events: Sequence[Mapping[str, Any]]) -> bytes:
        """Recorded events as a stream."""
        return b"".join(map(written, events))

    @abstractmethod
    def error(self, failure: RuntimeFailure) -> dict[str, Any]:
        """An error response's body."""

    def error_event(self, failure: RuntimeFailure) -> bytes:
        """An error inside a stream."""
        return written(self.error(failure), "error")

    def status(self, failure: RuntimeFailure) -> int:
        """An error response's status."""
        return status(failure)


def status(failure: RuntimeFailure) -> int:
    """The HTTP status of a failure."""
    return next((found for kind, found in STATUSES.items() if isinstance(failure, kind)), 500)


def likeness(text: Any) -> str:
    """The beginning of a text, or of the texts of a list, without what time and chance put there."""
    if isinstance(text, str):
        return _likeness(text[:_TEXT_LIMIT])
    return " ".join(likeness(item.get("text") or item.get("type") or "") for item in items(text))


@lru_cache(maxsize=5000)
def _likeness(text: str) -> str:
    """A conversation's messages come again with each of its calls."""
    return _NUMBERED.sub(_without_chance, _CALENDAR.sub("~", text.lower()))


def _without_chance(word: re.Match[str]) -> str:
    return "~" if _CHANCE.search(word.group()) else word.group()


def recent(conversation: Any) -> Iterator[dict[str, Any]]:
    """What was added to a conversation since the model spoke, the latest first."""
    said = reversed(items(conversation))
    return takewhile(lambda item: item.get("role") != "assistant" and item.get("type") not in _SPOKEN, said)


def mapping(value: Any) -> dict[str, Any]:
    """The value, if it is a JSON object; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; empty if it is none."""
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in found if isinstance(item, dict)]


def count(value: Any) -> int:
    """A number of tokens; 0 if it is none."""
    return int(value) if isinstance(value, int | float) else 0


def tokens_of(usage: Mapping[str, Any], read: str, made: str) -> Tokens:
    """The usage of a wire of OpenAI's; they differ in the words for what was read and what was made."""
    details_read, details_made = (mapping(usage.get(f"{word}_tokens_details")) for word in (read, made))
    return Tokens(
        input=count(usage.get(f"{read}_tokens")),
        output=count(usage.get(f"{made}_tokens")),
        cached=count(details_read.get("cached_tokens")),
        reasoning=count(details_made.get("reasoning_tokens")),
    )
