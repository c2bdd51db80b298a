"""Where a reader is in an execution's log."""

import re
from dataclasses import dataclass

from control_plane.errors import SeqInvalid

_POSITION = re.compile(r"(?P<seq>\d{1,15})(?:\.(?P<offset>\d{1,15}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """All events up to `seq` were read, and `offset` characters of the message that is open after it."""

    seq: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.seq}.{self.offset}" if self.offset else str(self.seq)

    @classmethod
    def parse(cls, text: str | None, field: str) -> "Position":
        """Read a `Last-Event-ID` or an `after`, as `field` says; nothing is the beginning.

        Raises:
            SeqInvalid: the text is no position.
        """
        if not text:
            return cls()
        match = _POSITION.fullmatch(text.strip())
        if match is None:
            raise SeqInvalid(
                "A position is an event's number, as in '12', or with an offset, as in '12.40'.",
                hint="Give back the last `id:` that the stream gave you.",
                field=field,
            )
        return cls(int(match["seq"]), int(match["offset"] or 0))
