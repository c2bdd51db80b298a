"""What the gateway has to know of each kind of call."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from services.model_gateway.wires.mending import Mender

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


#: Characters of a recorded text that the next piece is still joined to: strings are copied when they grow.
LONGEST_JOINED = 16 * 1024


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


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A tool call in a recorded answer, its arguments as the model wrote them."""

    id: str
    name: str
    arguments: str

    @property
    def words(self) -> str:
        """Name and arguments: by these it is found where a framework has given it another id."""
        return f"{self.name}\0{self.arguments}"


#: Recorded answers of a turn, as the journal has them, by the ids of their tool calls, and by the calls' words.
Answers = Mapping[str, Mapping[str, Any]]


class ModelWire(ABC):
    """One kind of call: its path, its requests, its answers whole and streamed, its errors."""

    path: ClassVar[str]
    #: Types of the events with which a stream ends.
    ends: ClassVar[frozenset[str]] = frozenset()
    #: What traces call it.
    operation: ClassVar[str] = CHAT
    family: ClassVar[Wire]
    streams: ClassVar[bool] = True
    headers: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def shape(self, body: Mapping[str, Any]) -> Iterator[Any]:
        """What of a request is the same when only time and chance differ, beside model and stream."""

    def canonical(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the part of a request that makes an answer its own: the same, however its framework has put it."""
        return body

    def max_output(self, body: Mapping[str, Any]) -> int:
        """The output tokens that a request asks for at most; 0 if it does not say."""
        return 0

    def prepared(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body as the provider gets it."""
        return body

    def restored(self, body: Mapping[str, Any], answers: Answers) -> Mapping[str, Any]:
        """The body with what the provider wants back of this turn's answers, and the framework dropped.

        It is done behind the journal's hash. A body that lacks nothing is returned as it is, not as a copy.
        """
        return body

    def called(self, record: Mapping[str, Any]) -> list[AnsweredCall]:
        """The tool calls of an answer, as the journal has it."""
        return []

    @abstractmethod
    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Whether an answer that came whole is one."""

    def is_silent(self, record: Mapping[str, Any]) -> bool:
        """Whether an answer, as the journal has it, ended by itself without a word and without a call."""
        return False

    def is_thought(self, record: Mapping[str, Any]) -> bool:
        """Whether an answer, as the journal has it, has thoughts in it."""
        return False

    def is_paused(self, record: Mapping[str, Any]) -> bool:
        """Whether the provider wants to be asked to go on with an answer, as the journal has it."""
        return False

    def continued(self, body: Mapping[str, Any], record: Mapping[str, Any], after: int) -> tuple[dict[str, Any], int]:
        """The request that has a paused answer gone on with, and how many blocks the answer has so far.

        `after` is that number in the request that was answered: 0 where the framework asked it itself.
        """
        raise NotImplementedError

    def joined(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """One answer of the parts of a paused one."""
        return records[-1]

    def has_results(self, body: Mapping[str, Any]) -> bool:
        """Whether a request brings results of tools: to those, silence is an answer."""
        return False

    @abstractmethod
    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        """What an answer that came whole says of its usage."""

    def mender(self, body: Mapping[str, Any], seed: str, after: int = 0) -> Mender:
        """Make the mender of the answer to a request; `seed` is the request's hash, `after` as in `continued`."""
        return Mender()

    def recording(self, body: Mapping[str, Any]) -> Recording:
        """An empty recording for a request."""
        return Recording()

    def streamed(self, body: dict[str, Any], after: int = 0) -> list[dict[str, Any]]:
        """The events of an answer that came whole where a stream was wanted; `after` as in `continued`."""
        return [body]

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
    return takewhile(lambda item: item.get("role") != "assistant" and kind_of(item) not in _SPOKEN, said)


def mapping(value: Any) -> dict[str, Any]:
    """The value, if it is a JSON object; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; empty if it is none."""
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in found if isinstance(item, dict)]


def word(value: Any) -> str:
    """The value, if it is a text; else an empty one."""
    return value if isinstance(value, str) else ""


def kind_of(holder: Mapping[str, Any]) -> str:
    """The type that an event, a block or an item says it has; empty if it says none."""
    return word(holder.get("type"))


def count(value: Any) -> int:
    """A number of tokens; 0 if it is none."""
    return int(value) if isinstance(value, int | float) else 0


def tokens_of(usage: Mapping[str, Any], read: str, made: str) -> Tokens:
    """The usage of a wire of OpenAI's; they differ in the words for what was read and what was made.

    Some vendors count thoughts in the total only: what the total has more than its parts is output all the same.
    """
    details_read, details_made = (mapping(usage.get(f"{word}_tokens_details")) for word in (read, made))
    asked, answered = count(usage.get(f"{read}_tokens")), count(usage.get(f"{made}_tokens"))
    untold = max(count(usage.get("total_tokens")) - asked - answered, 0) if asked or answered else 0
    return Tokens(
        input=asked,
        output=answered + untold,
        cached=count(details_read.get("cached_tokens")),
        reasoning=max(count(details_made.get("reasoning_tokens")), untold),
    )
