"""Refusals of what clients of Temporal send to a workflow, in the words of the REST API."""

from collections.abc import Sequence
from typing import Any, NoReturn, cast

from activities.errors import application_error
from runtimes.json_text import value_of
from runtimes.types import ExecutionError


def ids_of(given: Sequence[Any]) -> list[str] | None:
    """The ids that a signal brings in its one argument; None if it brings something else."""
    value = value_of(given[0]) if len(given) == 1 else None
    if not isinstance(value, list):
        return None
    ids = cast("list[Any]", value)
    return ids if all(isinstance(each, str) for each in ids) else None


def refuse_decision(approval_id: str, error: ExecutionError | None = None) -> NoReturn:
    """Refuse a decision, for the control plane's reason or because there is no such approval here."""
    if error is None or error.code == "not_found":
        reject("approval_not_found", f"The execution does not wait for the approval '{approval_id}'.")
    raise application_error(error, retried=False) from None


def reject(code: str, message: str, hint: str = "") -> NoReturn:
    """Refuse an update; it is not tried again."""
    raise application_error(ExecutionError(code=code, message=message, hint=hint), retried=False) from None
