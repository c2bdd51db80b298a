"""Tells what went wrong at a provider, in the words of `runtimes.errors`, without any key."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isnan
from typing import Any
from urllib.parse import urlsplit

from runtimes.discreet import discreet
from runtimes.errors import (
    ContentRefused,
    ContextTooLong,
    ModelAnswerEmpty,
    ModelAnswerInvalid,
    ModelAuthentication,
    ModelConnectionBroken,
    ModelFailure,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
)
from runtimes.types import ModelEndpoint
from services.model_gateway.refusals import read_refusal
from services.model_gateway.sse import loads
from services.model_gateway.verdicts import ModelOutputMalformed, verdict
from services.providers import NO_KEY

#: Seconds that a provider may make a turn wait.
LONGEST_WAIT = 86_400.0
#: Longest piece of a provider's own words that is kept.
MESSAGE_LIMIT = 500
_KEY = re.compile(r"\b(?:sk|pk|hf|gsk|xai|key)[-_][\w\-*.]{6,}")


class ModelUnreachable(ModelConnectionBroken):
    """No connection came about: the provider knows nothing of the call."""


class ModelAnswerTooLarge(ModelAnswerInvalid):
    """More came than any model says; asked again, it would come and be paid again."""

    code = "model_answer_too_large"
    retryable = False
    default_hint = "Limit the answer (max_tokens), and check what answers at the provider's base_url."


class ModelSilent(ModelAnswerEmpty):
    """Nothing came, not even a thought: asked again within the call, the model may say something."""

    default_hint = "Ask in other words, or name another model."


_HAPPENED: Mapping[type[ModelFailure], str] = {
    ContextTooLong: "The conversation is too long",
    ContentRefused: "The provider refused the content",
    ModelQuotaExhausted: "The account's quota is used up",
    ModelRateLimited: "The provider's rate limit is reached",
    ModelAuthentication: "The provider refused the API key",
    ModelNotFound: "The provider does not know what it was asked for",
    ModelTimeout: "The provider did not answer in time",
    ModelOverloaded: "The provider is overloaded",
    ModelRequestRejected: "The provider rejected the request",
    ModelUnreachable: "The provider cannot be reached",
    ModelConnectionBroken: "The connection to the provider broke",
    ModelOutputMalformed: "The provider could not read what the model wrote",
    ModelAnswerTooLarge: "The provider's answer is not taken",
    ModelAnswerInvalid: "The provider's answer is no model answer",
    ModelAnswerEmpty: "The model said nothing",
    ModelSilent: "The model said nothing",
}
_HINTS: Mapping[type[ModelFailure], str] = {
    ModelNotFound: "Check the agent's model_id and the provider's base_url.",
    ModelUnreachable: "Check that the provider's base_url can be reached from the worker.",
    ModelConnectionBroken: "Check that the provider's base_url can be reached from the worker.",
}


def failure(
    kind: type[ModelFailure],
    said: str,
    endpoint: ModelEndpoint,
    *,
    status: int | None = None,
    retry_after: float | None = None,
    private: str = "",
) -> ModelFailure:
    """A failure of an endpoint's model; `said` are somebody else's words, `private` those for the operator."""
    happened = f"{_HAPPENED.get(kind, 'The model call failed')}{f' ({status})' if status else ''}"
    where = f"model '{endpoint.model}' of provider '{endpoint.provider}'"
    words = scrubbed(said, endpoint.api_key) or "no reason given"
    words, hidden = discreet(words, [urlsplit(endpoint.base_url).hostname or ""])
    private = private or ", ".join(hidden)
    return kind(f"{happened}, {where}: {words}", hint=_HINTS.get(kind, ""), retry_after=retry_after, private=private)


def of_response(status: int, headers: Mapping[str, str], body: bytes, endpoint: ModelEndpoint) -> ModelFailure:
    """The failure that an error response tells of."""
    try:
        told = loads(body)
    except (ValueError, RecursionError):
        told = {"message": body[: 4 * MESSAGE_LIMIT].decode(errors="replace")}
    return of_body(told, endpoint, status=status, retry_after=retry_after(headers))


def of_body(
    told: Any, endpoint: ModelEndpoint, *, status: int | None = None, retry_after: float | None = None
) -> ModelFailure:
    """The failure that an error object tells of, as a response or inside a stream: there a code is the status."""
    refusal = read_refusal(told)
    status = refusal.status if status is None else status
    kind = verdict(status, refusal)
    if retry_after is None and refusal.delay is not None and issubclass(kind, ModelRateLimited | ModelOverloaded):
        retry_after = min(refusal.delay, LONGEST_WAIT)
    return failure(kind, refusal.words, endpoint, status=status, retry_after=retry_after)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a provider asks for, a day at most: in milliseconds, in seconds, or until a date."""
    value, milliseconds = headers.get("retry-after", ""), _number(headers.get("retry-after-ms", ""))
    seconds = _number(value) if milliseconds is None else milliseconds / 1000
    seconds = _until(value) if seconds is None else seconds
    return None if seconds is None else min(seconds, LONGEST_WAIT)


def scrubbed(text: str, api_key: str) -> str:
    """The text without the key, whole or half hidden by stars, and not too long."""
    if api_key != NO_KEY and len(api_key) > len(NO_KEY):
        text = re.sub(rf"{re.escape(api_key)}|{re.escape(api_key[:4])}[\w\-.]*\*[\w\-.*]*", "***", text)
    text = _KEY.sub("***", text)
    return text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]} …"


def _number(text: str) -> float | None:
    try:
        number = max(float(text), 0.0)
    except ValueError:
        return None
    return None if isnan(number) else number


def _until(date: str) -> float | None:
    try:
        return max(parsedate_to_datetime(date).timestamp() - time.time(), 0)
    except (ValueError, TypeError, OverflowError):
        return None
