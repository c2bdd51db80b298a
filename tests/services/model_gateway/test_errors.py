"""From an error response to a failure."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from temporalio.exceptions import ApplicationError

from activities.errors import translated_errors
from runtimes.errors import ContextTooLong, ModelFailure, ModelQuotaExhausted, ModelRateLimited, ModelRequestRejected
from runtimes.types import ModelEndpoint, Wire
from services.model_gateway.errors import of_body, of_response, retry_after

ENDPOINT = ModelEndpoint("http://provider", "Zx81-secret-key-of-ours", Wire.OPENAI, "gpt", "acme")


def test_seconds_and_milliseconds_are_understood() -> None:
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after-ms": "20", "retry-after": "1"}) == 0.02
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize("said", ["inf", "1e300", "nan", "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_waits_for_longer_than_a_day(said: str) -> None:
    failure = of_response(429, {"retry-after": said, "retry-after-ms": said}, b"", ENDPOINT)

    with pytest.raises(ApplicationError) as raised, translated_errors():
        raise failure

    assert raised.value.next_retry_delay in {None, timedelta(days=1)}


def test_a_date_is_understood() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    after = retry_after({"retry-after": date})

    assert after is not None
    assert 25 < after <= 30


@pytest.mark.parametrize(
    "said",
    [
        "Incorrect API key provided: Zx81-secret-key-of-ours.",
        "Incorrect API key provided: Zx81*********ours.",
        "Incorrect API key provided: sk-proj-abcdefgh***wxyz.",
    ],
)
def test_keys_are_taken_out(said: str) -> None:
    failure = of_response(401, {}, b'{"error": {"message": "%b"}}' % said.encode(), ENDPOINT)

    assert "Incorrect API key provided: ***" in failure.message
    assert "ours" not in failure.message
    assert "wxyz" not in failure.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": {"message": "This model\'s maximum context length is 8192 tokens."}}', ContextTooLong),
        (400, b'[{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}]', ModelRequestRejected),
        (429, b'{"error": {"type": "insufficient_quota", "message": "pay"}}', ModelQuotaExhausted),
        (429, b'{"error": "slow down"}', ModelRateLimited),
        (502, b"<html>bad gateway</html>", ModelFailure),
        (422, b"", ModelRequestRejected),
    ],
)
def test_bodies_of_all_kinds_are_understood(status: int, body: bytes, kind: type[ModelFailure]) -> None:
    assert type(of_response(status, {}, body, ENDPOINT)) is kind


def test_an_error_without_a_status_has_its_code() -> None:
    failure = of_body({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, ENDPOINT)

    assert type(failure) is ModelRateLimited
    assert "slow down" in failure.message
