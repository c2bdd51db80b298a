"""The answers and refusals that real providers send: one file is all that one model says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from runtimes.types import Wire

BODIES = Path(__file__).with_name("bodies")


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: events of a stream (`$sleep` and `$close` among them, raw text as it is), or a body."""

    status: int
    content_type: str
    headers: dict[str, str]
    events: Sequence[Any] | None
    body: bytes
    crlf: bool = False
    cut: int = 0
    utf8: bool = True

    @property
    def is_answer(self) -> bool:
        """Whether it begins as an answer does, and not as a refusal."""
        return self.status < 400


@dataclass(frozen=True, slots=True)
class Body:
    """A model: what it insists on (`check`), and what it says at each step, one answer for each asking."""

    name: str
    check: str | None
    steps: Sequence[Sequence[Told]]

    @property
    def wire(self) -> Wire:
        """The wire on which it speaks."""
        return Wire.ANTHROPIC if any(map(_is_anthropic, self._all())) else Wire.OPENAI

    def told(self, step: int, nth: int) -> Told:
        """Give the answer to the nth asking of a step; the last of each is said for ever."""
        askings = self.steps[min(step, len(self.steps) - 1)]
        return askings[min(nth, len(askings)) - 1]

    def _all(self) -> Sequence[Told]:
        return [told for askings in self.steps for told in askings]


def named(model: str) -> Body:
    """The body of a model.

    Raises:
        KeyError: there is none of this name.
    """
    name = model.replace("/", "_").replace(":", "_")
    file = BODIES / f"{name}.json"
    if file.parent != BODIES or not file.exists():
        raise KeyError(model)
    content = orjson.loads(file.read_bytes())
    return Body(name, content["check"], [_askings(step) for step in content["steps"]])


def every_body() -> list[Body]:
    """All bodies, by their names."""
    return [named(file.stem) for file in sorted(BODIES.glob("*.json"))]


def _askings(step: Any) -> list[Told]:
    """One answer for all askings, or one for each."""
    return [_told(each) for each in cast("list[Any]", step)] if isinstance(step, list) else [_told(step)]


def _told(given: dict[str, Any]) -> Told:
    events, body = given.get("sse"), given.get("body")
    return Told(
        status=given.get("status", 200),
        content_type=given.get("type", "application/json" if events is None else "text/event-stream"),
        headers=given.get("headers", {}),
        events=events,
        body=body.encode() if isinstance(body, str) else orjson.dumps(body),
        crlf=given.get("crlf", False),
        cut=given.get("cut", 0),
        utf8=given.get("utf8", True),
    )


def _is_anthropic(told: Told) -> bool:
    """Its events and errors name their type at the top, which those of the other wire never do."""
    if told.events is None:
        return told.body.startswith(b'{"type":"error"')
    return any(isinstance(event, dict) and "type" in event for event in told.events)
