"""What a scenario is, and how it says that something is not as it has to be."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from runtimes.errors import ToolsetInvalid
from runtimes.types import Capability, FinishReason
from services.conformance.bench import Bench, Taken


class Mismatch(Exception):
    """A runtime did something else than all others do; the message says what."""


class NotHere(Exception):
    """A scenario cannot be run on this machine; the message says what is missing."""


#: Checks a runtime; the text, if any, is shown beside what has passed.
Check = Callable[[Bench], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that every runtime does alike.

    `needs` are the capabilities without which it says nothing. `fast` ones belong to the cut that every test run makes.
    """

    name: str
    check: Check
    needs: frozenset[Capability] = frozenset()
    fast: bool = True


def expect(what: str, found: Any, wanted: Any) -> None:
    """Hold something against what it has to be.

    Raises:
        Mismatch: it is something else.
    """
    if found != wanted:
        raise Mismatch(f"{what}: {_short(found)}, expected {_short(wanted)}")


def expect_that(fits: object, what: str) -> None:
    """Hold a statement to be true.

    Raises:
        Mismatch: it is not.
    """
    if not fits:
        raise Mismatch(what)


def expect_answer(taken: Taken, response: str, reason: FinishReason = FinishReason.STOP) -> None:
    """Hold a turn to have ended well, with this answer.

    Raises:
        Mismatch: it did not.
    """
    if taken.failure is not None:
        raise Mismatch(f"the turn failed: {taken.failure.code}: {_short(taken.failure.message)}")
    expect("response", taken.response, response)
    expect("finish reason", taken.outcome and taken.outcome.finish_reason, reason)


def expect_a_place(taken: Taken) -> None:
    """Hold this machine to have what the turn's toolsets need.

    Raises:
        NotHere: it has not.
    """
    if taken.failure is not None and taken.failure.code == ToolsetInvalid.code:
        raise NotHere(f"{taken.failure.message} {taken.failure.hint}")


def expect_success(taken: Taken) -> None:
    """Hold a turn to have ended well, whatever it said.

    Raises:
        Mismatch: it did not.
    """
    if taken.failure is not None:
        raise Mismatch(f"the turn failed: {taken.failure.code}: {_short(taken.failure.message)}")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
