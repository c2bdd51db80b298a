"""Errors of the scripted model.

ModelError         answered with the wire's own error object and an HTTP status
    ScriptError    400: the prompt's directions cannot be followed
CallerGoneError    the connection has ended, nobody hears the rest
"""

from dataclasses import dataclass
from typing import Literal

Theme = Literal["too long", "thoughts", "seal"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong: `retry_after` in seconds as it goes into the header, `code` the wire's finer code.

    `theme` asks for the wire's own words: about an overflow of the context window, or about thoughts, readable or
    sealed, that a conversation has lost.
    """

    status: int
    message: str
    code: str | None = None
    retry_after: str | None = None
    theme: Theme | None = None


class ModelError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class ScriptError(ModelError):
    """A direction that is unknown or badly written; the message names the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(Problem(400, message, code="invalid_directive"))


class CallerGoneError(Exception):
    """The caller has closed the connection, or a script has dropped it."""
