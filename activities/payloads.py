"""Reads whatever clients of Temporal send: what cannot be read is refused by admission, not by the decoder."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.common import RawValue
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.exceptions import ApplicationError

from runtimes.json_text import Faulty, find_fault, value_of
from runtimes.turns import UNREADABLE

#: Encodings of JSON; what comes in another one is no input of ours.
_JSON = {b"json/plain", b"binary/null"}
_REASON_LIMIT = 200
#: The one fault that says more than the decoder does of a text that it cannot read.
_HALF = "text_not_utf8"


class ForgivingPayloads(PydanticPayloadConverter):
    """Gives an untyped value with the fault of its text; in place of one that cannot be read, a text that says why."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """The values; those that a type is wanted of have to be right.

        Raises:
            ApplicationError, ValidationError: one is not.
        """
        if type_hints:
            return self._typed(payloads, type_hints)
        return [self._read(payload) for payload in payloads]

    def from_payloads_wrapper(self, payloads: Payloads | None) -> list[Any]:
        """The details of a failure, with whatever faults."""
        return [value_of(value) for value in super().from_payloads_wrapper(payloads)]

    def _typed(self, payloads: Sequence[Payload], types: list[type]) -> list[Any]:
        foreign = next((told for told in map(_foreign, payloads) if told), "")
        if foreign and RawValue not in types:
            raise ApplicationError(f"{UNREADABLE}{foreign}", type="type_error", non_retryable=True)
        try:
            return super().from_payloads(payloads, types)
        except (RuntimeError, KeyError) as error:
            raise ApplicationError(f"{UNREADABLE}{error}", type="type_error", non_retryable=True) from error

    def _read(self, payload: Payload) -> Any:
        if foreign := _foreign(payload):
            return f"{UNREADABLE}{foreign}"
        fault = find_fault(payload.data) if payload.data else None
        try:
            (value,) = super().from_payloads([payload])
        except (ValueError, RuntimeError) as error:
            value = f"{UNREADABLE}{_reason(error)}"
            return value if fault is None or fault.code != _HALF else Faulty(value, fault)
        return value if fault is None else Faulty(value, fault)


def _foreign(payload: Payload) -> str:
    """Tell the fault of a payload's encoding; empty if there is none."""
    encoding = payload.metadata.get("encoding", b"")
    told = encoding[:80].decode(errors="replace")
    return "" if encoding in _JSON else f"its encoding is '{told}', not 'json/plain'."


def _reason(error: Exception) -> str:
    told = error.errors(include_input=False)[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return f"{told[:_REASON_LIMIT].rstrip('.')}."
