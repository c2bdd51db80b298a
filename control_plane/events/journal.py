"""The journal's part of an append: steps, what is too large for them, and questions."""

import zlib
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import orjson

from services.control_plane_client.models import AppendEvents, Step
from services.storable import storable_json

#: Bytes of JSON that a step holds itself; more is a blob.
INLINE_LIMIT = 64 * 1024


class Blobs:
    """What is stored by its hash, deflated."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bytes, int]] = {}

    def add(self, data: bytes) -> str:
        """Keep bytes; gives their hash."""
        name = sha256(data).hexdigest()
        self._found[name] = (zlib.compress(data, 1), len(data))
        return name

    def columns(self) -> dict[str, list[Any]]:
        """Parallel arrays for SQL."""
        return {
            "hashes": list(self._found),
            "datas": [data for data, _ in self._found.values()],
            "sizes": [size for _, size in self._found.values()],
        }


def journal_parameters(request: AppendEvents) -> dict[str, object]:
    """The parameters of an append that changes the journal."""
    blobs = Blobs()
    rows = b",".join(_row(step, blobs) for step in _last_of_each(request.steps))
    asked = [ask.model_dump(mode="json") for ask in request.asked]
    return {
        "steps": f"[{rows.decode()}]",
        "asked": storable_json(orjson.dumps(asked)).decode(),
        "used": request.used,
        **blobs.columns(),
    }


def _last_of_each(steps: Sequence[Step]) -> list[Step]:
    """A step that was begun and ended in one batch is stored once, with its request."""
    found: dict[int, Step] = {}
    for step in steps:
        before = found.get(step.ordinal)
        request = step.request if before is None or step.request is not None else before.request
        found[step.ordinal] = step.model_copy(update={"request": request})
    return list(found.values())


def _row(step: Step, blobs: Blobs) -> bytes:
    row = step.model_dump(mode="json", exclude={"request", "response", "response_blob", "attempt", "workspace"})
    for name, value in (("request", step.request), ("response", step.response)):
        data = storable_json(orjson.dumps(value))
        large = len(data) > INLINE_LIMIT
        row[f"{name}_blob"] = blobs.add(data) if large else None
        row[name] = None if large or value is None else orjson.Fragment(data)
    return storable_json(orjson.dumps(row))
