"""Refusals of what clients of Temporal send to a workflow, in the words of the REST API."""

from collections.abc import Sequence
from typing import Any, NoReturn, cast

from temporalio.exceptions import ApplicationError

from workflows import policies


def check_content(content: str) -> None:
    """Refuse a message that cannot be kept."""
    if not content:
        reject("value_invalid", "The message is empty.")
    if "\0" in content:
        reject("text_nul", "The message has a NUL character.")
    if len(content) > policies.MAX_INLINE_MESSAGE:
        reject("body_too_large", "The message is too long for Temporal; send it through the REST API.")


def ids_of(given: Sequence[Any]) -> list[str] | None:
    """The ids that a signal brings in its one argument; None if it brings something else."""
    if len(given) != 1 or not isinstance(given[0], list):
        return None
    ids = cast("list[Any]", given[0])
    return ids if all(isinstance(each, str) for each in ids) else None


def reject(code: str, message: str) -> NoReturn:
    """Refuse an update; it is not tried again."""
    raise ApplicationError(message, type=code, non_retryable=True)
