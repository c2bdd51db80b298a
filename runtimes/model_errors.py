"""Tells what went wrong in a model call from whatever exception a framework raised; imports none of them."""

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast

from runtimes.errors import (
    ContextTooLong,
    ModelAnswerInvalid,
    ModelAuthentication,
    ModelConnectionBroken,
    ModelFailure,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
    ModelUnknown,
    RuntimeCrashed,
    RuntimeFailure,
)
from runtimes.types import ModelEndpoint

#: Longest piece of a provider's own words that is kept.
MESSAGE_LIMIT = 500
_KEY = re.compile(r"\b(?:sk|pk|hf|key)[-_][\w\-*]{6,}")
_CONTEXT = re.compile(r"context.{0,10}(length|window)|prompt is too long|too many (input )?tokens", re.IGNORECASE)
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One of the three is enough: the HTTP status, a code in the error's body, a part of a class name."""

    failure: type[RuntimeFailure]
    statuses: Collection[int] = ()
    codes: Collection[str] = ()
    names: Collection[str] = ()

    def fits(self, evidence: "_Evidence") -> bool:
        return (
            evidence.status in self.statuses
            or not evidence.codes.isdisjoint(self.codes)
            or (evidence.status is None and any(name in evidence.names for name in self.names))
        )


_RULES = (
    _Rule(ContextTooLong, {413}, {"context_length_exceeded", "request_too_large"}, {"contextwindow"}),
    _Rule(ModelQuotaExhausted, {402}, {"insufficient_quota", "billing_error", "billing_hard_limit_reached"}),
    _Rule(ModelRateLimited, {429}, {"rate_limit_error", "rate_limit_exceeded", "too_many_requests"}, {"ratelimit"}),
    _Rule(ModelAuthentication, {401, 403}, {"authentication_error", "permission_error", "invalid_api_key"}),
    _Rule(ModelUnknown, {404}, {"model_not_found", "not_found_error"}),
    _Rule(ModelTimeout, {408, 504}, {"timeout_error"}, {"timeout"}),
    _Rule(ModelOverloaded, {503, 529}, {"overloaded_error", "server_overloaded"}),
    _Rule(ModelFailure, {409, 425, *_SERVER_ERRORS}, {"server_error", "api_error", "internal_error"}),
    _Rule(ModelRequestRejected, _CLIENT_ERRORS, {"invalid_request_error"}),
    _Rule(ModelConnectionBroken, names={"connect", "remoteprotocol", "readerror", "writeerror", "networkerror"}),
    _Rule(ModelAnswerInvalid, names={"jsondecode", "validation"}),
    _Rule(ModelFailure, names={"apierror", "modelprovider"}),
)
_HAPPENED: Mapping[type[RuntimeFailure], str] = {
    ContextTooLong: "The conversation is too long",
    ModelQuotaExhausted: "The account's quota is used up",
    ModelRateLimited: "The provider's rate limit is reached",
    ModelAuthentication: "The provider refused the API key",
    ModelUnknown: "The provider does not know what it was asked for",
    ModelTimeout: "The provider did not answer in time",
    ModelOverloaded: "The provider is overloaded",
    ModelRequestRejected: "The provider rejected the request",
    ModelConnectionBroken: "The connection to the provider broke",
    ModelAnswerInvalid: "The provider's answer is no model answer",
    RuntimeCrashed: "The runtime failed unexpectedly",
}
_HINTS: Mapping[type[RuntimeFailure], str] = {
    ModelUnknown: "Check the agent's model_id and the provider's base_url.",
    ModelConnectionBroken: "Check that the provider's base_url can be reached from the worker.",
}


def classify(error: BaseException, endpoint: ModelEndpoint) -> RuntimeFailure:
    """The typed failure behind an exception and its causes, which may be cyclic; keys are taken out of its text."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, RuntimeFailure):
            return cause
    evidence = _Evidence.of(causes)
    kind = _kind(evidence)
    status = f" ({evidence.status})" if evidence.status else ""
    happened = f"{_HAPPENED.get(kind, 'The model call failed')}{status}"
    said = _scrubbed(evidence.message, endpoint.api_key)
    return kind(
        f"{happened}, model '{endpoint.model}' of provider '{endpoint.provider}': {said}",
        hint=_HINTS.get(kind, ""),
        retry_after=evidence.retry_after,
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    status: int | None
    codes: frozenset[str]
    names: str
    message: str
    retry_after: float | None

    @classmethod
    def of(cls, causes: Iterable[BaseException]) -> "_Evidence":
        causes = list(causes)
        bodies = [body for cause in causes for body in _bodies(getattr(cause, "body", None))]
        codes = frozenset(str(body[key]) for body in bodies for key in ("code", "type") if body.get(key))
        return cls(
            status=_status(causes),
            codes=codes,
            names=" ".join(f"{type(cause).__module__}.{type(cause).__name__}".lower() for cause in causes),
            message=_message(causes, bodies),
            retry_after=next((after for after in map(_retry_after, causes) if after is not None), None),
        )


def _kind(evidence: _Evidence) -> type[RuntimeFailure]:
    if evidence.status in (None, 400) and _CONTEXT.search(evidence.message):
        return ContextTooLong
    return next((rule.failure for rule in _RULES if rule.fits(evidence)), RuntimeCrashed)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, its causes and the members of its groups, each once."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        more: list[Any] = [current.__cause__, current.__context__, *getattr(current, "exceptions", ())]
        waiting += [cause for cause in more if isinstance(cause, BaseException)]


def _status(causes: Iterable[BaseException]) -> int | None:
    """The response's status; what a framework claims without a response is often invented."""
    responses = (getattr(getattr(cause, "response", None), "status_code", None) for cause in causes)
    known = [status for status in responses if isinstance(status, int)]
    return next((status for status in known if status in _CLIENT_ERRORS or status in _SERVER_ERRORS), None)


def _bodies(body: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(body, dict):
        found = cast("dict[str, Any]", body)
        yield found
        yield from _bodies(found.get("error"))


def _message(causes: list[BaseException], bodies: list[Mapping[str, Any]]) -> str:
    said = [body["message"] for body in bodies if isinstance(body.get("message"), str)]
    return next((text for text in (*said, *map(str, causes)) if text), type(causes[0]).__name__)


def _retry_after(cause: BaseException) -> float | None:
    headers: Any = getattr(getattr(cause, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    value = cast("Mapping[str, str]", headers).get("retry-after", "")
    try:
        return max(float(value), 0)
    except ValueError:
        return _until(value)


def _until(date: str) -> float | None:
    try:
        return max(parsedate_to_datetime(date).timestamp() - time.time(), 0)
    except (ValueError, TypeError):
        return None


def _scrubbed(text: str, api_key: str) -> str:
    text = text.replace(api_key, "***") if len(api_key) > len("none") else text
    text = _KEY.sub("***", text)
    return text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]} …"
