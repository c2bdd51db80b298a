"""Opaque cursors: where a list goes on."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID

from control_plane.errors import CursorInvalid

Item = TypeVar("Item")


class Cursors:
    """The cursors of one list of one organization; others' are refused.

    `position` reads the sort key of a row as JSON values, `parse` makes it fit for a query again.
    """

    def __init__(self, kind: str, organization_id: UUID) -> None:
        self._mark = sha256(f"{kind}:{organization_id}".encode()).hexdigest()[:12]

    def encode(self, *position: object) -> str:
        """A cursor that goes on behind `position`."""
        text = json.dumps([self._mark, *map(str, position)], separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def decode(self, cursor: str, *parsers: Callable[[str], Any]) -> tuple[Any, ...]:
        """The position in a cursor, each part read by its parser.

        Raises:
            CursorInvalid: the cursor is not one of this list's.
        """
        try:
            mark, *position = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if mark != self._mark or len(position) != len(parsers):
                raise ValueError(cursor)
            return tuple(parse(str(part)) for parse, part in zip(parsers, position, strict=True))
        except (ValueError, TypeError):
            raise CursorInvalid("The cursor is not one of this list's.", field="cursor") from None


def page(rows: Sequence[Item], limit: int, after: Callable[[Item], str]) -> tuple[Sequence[Item], str | None]:
    """The first `limit` of rows that were read with one more, and the cursor of what follows."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], after(rows[limit - 1])
