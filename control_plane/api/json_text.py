"""Strict JSON, refused in the words of the API."""

from typing import Any

from control_plane.errors import (
    BodyNotUtf8,
    HoldfastError,
    JsonDuplicateKey,
    JsonInvalid,
    JsonTooDeep,
    NumberOutOfRange,
    TextNotUtf8,
    TextNul,
    TypeMismatch,
)
from runtimes.json_text import JsonFault, find_fault

_KINDS = {
    kind.code: kind
    for kind in (
        BodyNotUtf8,
        JsonDuplicateKey,
        JsonInvalid,
        JsonTooDeep,
        NumberOutOfRange,
        TextNotUtf8,
        TextNul,
        TypeMismatch,
    )
}


def check_json_object(raw: bytes) -> None:
    """Let pass what is one JSON object that the API can take.

    Raises:
        HoldfastError: it is not; with line and column, or the place.
    """
    if (fault := find_fault(raw, of_object=True)) is not None:
        raise refusal_of(fault)


def refusal_of(fault: JsonFault) -> HoldfastError:
    """The answer that a fault of a text becomes."""
    where: dict[str, Any] = {} if fault.line is None else {"line": fault.line, "column": fault.column}
    return _KINDS.get(fault.code, TypeMismatch)(fault.detail, field=fault.field, **where)
