from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from control_plane.api.pagination import Cursors
from control_plane.errors import CursorInvalid

OURS = uuid4()
CURSORS = Cursors("agents", OURS)
MOMENT = datetime(2026, 11, 21, 1, 2, 3, 456789, UTC)
GOOD = CURSORS.encode(MOMENT.isoformat(), OURS)


def test_a_cursor_gives_its_position_back() -> None:
    assert CURSORS.decode(GOOD, datetime.fromisoformat, UUID) == (MOMENT, OURS)


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "x",
        "💥",
        GOOD[:-4],
        GOOD + "AAAA",
        Cursors("agents", uuid4()).encode(MOMENT.isoformat(), OURS),
        Cursors("sessions", OURS).encode(MOMENT.isoformat(), OURS),
        CURSORS.encode(MOMENT.isoformat()),
        CURSORS.encode("yesterday", OURS),
        CURSORS.encode(MOMENT.isoformat(), "' OR 1=1"),
        urlsafe_b64encode(b"{}").decode(),
        urlsafe_b64encode(b"[]").decode(),
        urlsafe_b64encode(b"\xff\xfe").decode(),
        urlsafe_b64encode(b"[" * 300).decode(),
    ],
)
def test_a_cursor_of_elsewhere_is_refused(forged: str) -> None:
    with pytest.raises(CursorInvalid):
        CURSORS.decode(forged, datetime.fromisoformat, UUID)
