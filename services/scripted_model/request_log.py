"""What was asked of the scripted model: the ground truth of how often a model was really called."""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal, cast

import orjson

from services.journal import canonical_hash, without_volatile
from services.scripted_model.conversation import Conversation
from services.scripted_model.errors import CallerGoneError

Outcome = Literal["running", "completed", "failed", "aborted"]
Kind = Literal["answer", "embedding"]


@dataclass(slots=True)
class LoggedRequest:
    """One model call.

    `outcome`: completed is an answer given to its end, failed an error or nonsense in its place, aborted one that the
    caller did not wait for or that was dropped. `body` is the request's, as it came; `nth` counts the askings of this
    round of this prompt.
    """

    id: int
    wire: str
    path: str
    body: bytes
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None
    model: str = ""
    stream: bool = False
    prompt: str = ""
    round: int = 0
    nth: int = 0
    messages: int = 0
    tools: tuple[str, ...] = ()
    status: int | None = None
    outcome: Outcome = "running"
    tokens_sent: int = 0
    ms_to_first_byte: float | None = None
    _started: float = field(default_factory=time.perf_counter)

    @property
    def kind(self) -> Kind:
        """What was asked for: an answer, or vectors."""
        return "embedding" if self.path.endswith("/embeddings") else "answer"

    @property
    def hash(self) -> str:
        """The same for two requests that ask for the same; empty for what is no JSON object."""
        try:
            body: Any = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return ""
        return canonical_hash(without_volatile(cast("dict[str, Any]", body))) if isinstance(body, dict) else ""

    def describe(self, conversation: Conversation, nth: int) -> None:
        self.model = conversation.model
        self.stream = conversation.stream
        self.prompt = conversation.prompt
        self.round = conversation.round
        self.nth = nth
        self.messages = conversation.message_count
        self.tools = conversation.tools

    def responding(self, status: int) -> None:
        """The first byte goes out."""
        self.status = status
        self.ms_to_first_byte = round((time.perf_counter() - self._started) * 1000, 3)

    def view(self) -> dict[str, Any]:
        """The request as JSON-ready values."""
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__ if not name.startswith("_")}
        return {**shown, "kind": self.kind, "hash": self.hash, "body": _readable(self.body)}


class RequestLog:
    """The last `most` requests, oldest first; ids count from 1 and are never used again."""

    def __init__(self, most: int = 10_000) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=most)
        self._ids = count(1)

    @contextmanager
    def record(self, wire: str, path: str, body: bytes) -> Generator[LoggedRequest]:
        """Log a request for as long as it is answered; leaving with an exception or a cancel means aborted."""
        request = LoggedRequest(next(self._ids), wire, path, body)
        self._requests.append(request)
        try:
            yield request
            request.outcome = "completed" if request.outcome == "running" else request.outcome
        except CallerGoneError:
            request.outcome = "aborted"
        finally:
            request.outcome = "aborted" if request.outcome == "running" else request.outcome
            request.finished_at = datetime.now(UTC)

    def requests(self, *, contains: str = "", after: int = 0, kind: str = "") -> list[LoggedRequest]:
        """The requests whose prompt contains the text and whose id is greater, of one kind or of all."""
        return [
            request
            for request in self._requests
            if request.id > after and contains in request.prompt and kind in {"", request.kind}
        ]

    def clear(self) -> None:
        self._requests.clear()


def _readable(body: bytes) -> Any:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return orjson.Fragment(body)
