"""A tool as Holdfast knows it, whatever toolset it comes from."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Takes arguments that fit the schema; gives the text for the model. It may raise.
Handler = Callable[[Mapping[str, Any]], Awaitable[str]]


class ToolFailed(Exception):
    """A tool could not do what it was asked; the message is for the model and says how to do better."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool; `timeout_seconds` is for one call, `output_limit` in characters."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    handler: Handler
    timeout_seconds: float = 120.0
    output_limit: int = 50_000
