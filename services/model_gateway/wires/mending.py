"""Puts a provider's answer right before it is recorded and passed on."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

#: Characters of a seed that an id has.
_SEED = 16


class CallIds:
    """Ids of an answer's tool calls: the provider's own, as long as each is one, and none that the request has.

    Others are made of the request's hash and a number: the same question gets the same ids.
    """

    def __init__(self, prefix: str, seed: str, taken: Callable[[], Iterable[Any]] = tuple) -> None:
        self._stem = f"{prefix}{seed[:_SEED]}"
        self._find = taken
        self._taken: set[str] | None = None
        self._made = 0

    def given(self, wanted: Any) -> str:
        """The id of another call, for which the provider wants this one."""
        if self._taken is None:
            self._taken = {found for found in self._find() if isinstance(found, str)}
        found = wanted if isinstance(wanted, str) and wanted and wanted not in self._taken else self._next()
        self._taken.add(found)
        return found

    def _next(self) -> str:
        assert self._taken is not None
        while (made := f"{self._stem}_{self._made}") in self._taken:
            self._made += 1
        return made


class Mender:
    """Mends one answer, whole or event by event; this one leaves it as it is.

    `is_complete`: the provider has told the answer's end, though what it told may be held until the stream is over.
    `mark` is what a stream ends with.
    """

    mark = b""

    is_complete = False

    def mend(self, event: dict[str, Any], name: str) -> list[dict[str, Any]] | None:
        """The events that are to be passed on for one that came; None if it is that one, unchanged."""
        return None

    def rest(self, *, is_told: bool) -> list[dict[str, Any]]:
        """The events that are still to be passed on when the stream is over; `is_told`: by its mark."""
        return []

    def whole(self, body: dict[str, Any]) -> bool:
        """Mend an answer that came whole; whether there was something to mend."""
        return False


def written_arguments(arguments: Any) -> str:
    """A call's arguments as the text that they should be."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def is_object(arguments: str) -> bool:
    """Whether a text is a whole JSON object."""
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False
