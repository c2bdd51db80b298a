"""What an answer is made of, on either wire: a sequence of actions."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from services.scripted_model.errors import Problem

FinishReason = Literal["stop", "length", "content_filter", "tool_calls", "refusal"]
FINISH_REASONS: tuple[FinishReason, ...] = ("stop", "length", "content_filter")


@dataclass(frozen=True, slots=True)
class Text:
    """Pieces that are streamed one by one at `rate` pieces per second."""

    pieces: tuple[str, ...]
    rate: float = math.inf
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Thoughts:
    """Thoughts come before what they lead to; sealed ones can be read by the model alone."""

    text: str
    is_sealed: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` are JSON as the script gives it, so they may be broken; without an id it is None."""

    name: str
    arguments: str
    id: str | None = ""


@dataclass(frozen=True, slots=True)
class ToolCalls:
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing happens for so many seconds; None: until the caller goes away."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed without an end of the answer."""


@dataclass(frozen=True, slots=True)
class Fail:
    """An error answer; one inside the stream if text was streamed before or `in_stream` is set."""

    problem: Problem
    in_stream: bool = False


@dataclass(frozen=True, slots=True)
class Nonsense:
    """Status 200 with a body that is no answer: a web page, or a broken piece of the wire's JSON."""

    kind: Literal["html", "garbage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens; `input` includes the cached ones and `output` those spent on reasoning."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    reason: FinishReason


class Manner(Enum):
    """The manner in which every answer of a script is given."""

    REWORD = "reword"
    INSIST = "insist"
    TEAR = "tear"
    IDS_MISSING = "ids missing"
    IDS_EMPTY = "ids empty"
    IDS_SAME = "ids same"


Action = Text | Thoughts | ToolCalls | Pause | Drop | Fail | Nonsense


@dataclass(frozen=True, slots=True)
class Answer:
    """One model call's answer; the actions happen in order, the rest is told at the end."""

    actions: tuple[Action, ...]
    finish: FinishReason
    usage: Usage
