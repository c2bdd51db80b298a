"""From any exception to a typed failure."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from runtimes.errors import (
    ContextTooLong,
    ModelConnectionBroken,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelTimeout,
    RuntimeCrashed,
    RuntimeFailure,
)
from runtimes.model_errors import classify
from runtimes.types import ModelEndpoint, Wire

ENDPOINT = ModelEndpoint("http://localhost/v1", "secret-key-of-mine", Wire.OPENAI, "m", "acme")


class ProviderError(Exception):
    """As the vendors' SDKs have them."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"Error code: {status}")
        self.response = httpx.Response(status, headers=headers)
        self.body = body


def wrapped(cause: BaseException) -> Exception:
    error = ValueError("a framework's own words")
    error.__cause__ = cause
    return error


def test_causes_in_a_circle_are_walked_once() -> None:
    inner = ProviderError(429)
    outer = wrapped(inner)
    inner.__cause__ = outer

    failure = classify(outer, ENDPOINT)

    assert isinstance(failure, ModelRateLimited)


def test_members_of_a_group_are_looked_at() -> None:
    failure = classify(ExceptionGroup("all failed", [ValueError("x"), wrapped(ProviderError(503))]), ENDPOINT)

    assert isinstance(failure, ModelOverloaded)


def test_a_failure_that_is_typed_already_stays_what_it_is() -> None:
    typed = ContextTooLong("too long")

    assert classify(wrapped(typed), ENDPOINT) is typed


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "overloaded_error", "message": "busy"}}, ModelOverloaded),
        ({"code": "rate_limit_exceeded"}, ModelRateLimited),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, ModelQuotaExhausted),
        ({"code": "context_length_exceeded"}, ContextTooLong),
        ({"message": "prompt is too long: 210000 tokens > 200000 maximum"}, ContextTooLong),
    ],
)
def test_an_error_inside_a_stream_is_known_by_its_code(body: Any, expected: type[RuntimeFailure]) -> None:
    assert type(classify(ProviderError(200, body), ENDPOINT)) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ReadTimeout("slow"), ModelTimeout),
        (httpx.ConnectError("refused"), ModelConnectionBroken),
        (httpx.RemoteProtocolError("peer closed"), ModelConnectionBroken),
        (KeyError("what"), RuntimeCrashed),
    ],
)
def test_an_error_without_a_response_is_known_by_its_class(error: Exception, expected: type[RuntimeFailure]) -> None:
    assert type(classify(error, ENDPOINT)) is expected


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    failure = classify(ProviderError(429, headers={"retry-after": date}), ENDPOINT)

    assert failure.retry_after == pytest.approx(30, abs=2)


@pytest.mark.parametrize("value", ["soon", "", "-5"])
def test_a_senseless_retry_after_does_no_harm(value: str) -> None:
    failure = classify(ProviderError(429, headers={"retry-after": value}), ENDPOINT)

    assert failure.retry_after in (None, 0)


def test_no_key_stays_in_a_message() -> None:
    said = "Incorrect API key provided: sk-abcdefgh123456 (secret-key-of-mine)."

    failure = classify(ProviderError(401, {"message": said}), ENDPOINT)

    assert failure.message.endswith("Incorrect API key provided: *** (***).")


def test_long_words_of_a_provider_are_cut() -> None:
    failure = classify(ProviderError(400, {"message": "x" * 100_000}), ENDPOINT)

    assert len(failure.message) < 700
