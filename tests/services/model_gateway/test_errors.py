"""From an error response to a failure."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from temporalio.exceptions import ApplicationError

from activities.errors import translated_errors
from runtimes.errors import (
    ContentRefused,
    ContextTooLong,
    ModelAuthentication,
    ModelFailure,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
)
from runtimes.types import ModelEndpoint, Wire
from services.model_gateway.errors import of_body, of_response, retry_after
from services.model_gateway.verdicts import ModelOutputMalformed

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


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."),
        (400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
        (429, "Request too large for gpt-4 in organization o on tokens per min (TPM): Limit 10000, Requested 20000."),
        (400, "prompt is too long: 208310 tokens > 200000 maximum"),
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        (400, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
        (400, "Please reduce the length of the messages or completion."),
        (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        (400, "Input is too long for requested model."),
        (400, "Malformed input request: expected maxLength: 300000, actual: 400000, please reformat your input"),
        (400, "too many total text bytes: 12000000 > 9000000"),
        (400, "too many tokens: size limit exceeded by 1234 tokens. Try using shorter or fewer inputs."),
        (400, "the request exceeds the available context size, try increasing it"),
        (500, "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it"),
        (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
        (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
        (400, "prompt too long; exceeded max context length by 3 tokens"),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000"),
        (422, "`inputs` must have less than 1024 tokens. Given: 1025"),
        (400, "Your request exceeded model token limit: 262144"),
        (400, "Range of input length should be [1, 129024]"),
        (400, "invalid params, context window exceeds limit (2013)"),
        (400, "prompt token count of 130000 exceeds the limit of 128000"),
        (400, "Prompt exceeds max length"),
    ],
)
def test_an_overflown_context_is_known_in_the_words_of_each_vendor(status: int, said: str) -> None:
    assert type(of_body({"error": {"message": said}}, ENDPOINT, status=status)) is ContextTooLong


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, {"error": {"message": "no tools", "type": "api_error", "code": None}}, ModelRequestRejected),
        (400, {"error": {"message": "no", "type": "rate_limit_error"}}, ModelRequestRejected),
        (400, {"error": {"message": "no", "type": "overloaded_error"}}, ModelRequestRejected),
        (400, {"error": "registry.ollama.ai/library/gemma3:4b does not support tools"}, ModelRequestRejected),
        (
            400,
            {"error": {"message": "max_tokens is too large: 9000. This model supports at most 4096"}},
            ModelRequestRejected,
        ),
        (
            400,
            {"error": {"message": "The maximum tokens you requested exceeds the model limit of 8192."}},
            ModelRequestRejected,
        ),
        (400, {"error": {"message": "Invalid model: gtp-4", "type": "invalid_model"}}, ModelNotFound),
        (400, {"error": {"message": "a/b is not a valid model ID", "code": 400}}, ModelNotFound),
        (
            400,
            [{"error": {"message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}}],
            ModelAuthentication,
        ),
        (400, {"error": {"message": "See 'failed_generation'.", "code": "tool_use_failed"}}, ModelOutputMalformed),
        (400, {"error": {"message": "See 'failed_generation'.", "code": "json_validate_failed"}}, ModelOutputMalformed),
        (400, {"error": {"message": "Your credit balance is too low to access the API."}}, ModelQuotaExhausted),
        (400, {"error": {"message": "You have reached your specified API usage limits."}}, ModelQuotaExhausted),
        (400, {"code": "Arrearage", "message": "Access denied"}, ModelQuotaExhausted),
        (403, {"error": {"message": "Key limit exceeded (total limit).", "code": 403}}, ModelQuotaExhausted),
        (403, {"code": "permission-denied", "error": "Your team doesn't have any credits yet."}, ModelQuotaExhausted),
        (
            429,
            {"error": {"code": "1113", "message": "Insufficient balance or no resource package."}},
            ModelQuotaExhausted,
        ),
        (429, {"error": {"message": "You exceeded your current quota, please check your plan."}}, ModelRateLimited),
        (429, {"error": {"type": "engine_overloaded_error", "message": "busy"}}, ModelRateLimited),
        (403, {"error": {"message": "Content violates usage guidelines."}}, ContentRefused),
        (
            400,
            {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."},
            ContentRefused,
        ),
        (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}}, ContentRefused),
        (403, {"error": {"message": "Sorry, you have been blocked"}}, ModelAuthentication),
        (503, {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}, ModelOverloaded),
        (500, {"error": {"code": 500, "message": "An internal error", "status": "INTERNAL"}}, ModelFailure),
        (424, {"message": "The model produced an invalid sequence"}, ModelFailure),
        (None, {"error": {"code": "429", "message": "slow down"}}, ModelRateLimited),
        (None, {"error": {"code": 504, "message": "late"}}, ModelTimeout),
        (None, {"error": {"code": 502, "message": "Provider disconnected"}}, ModelFailure),
        (None, {"error": {"code": 401, "message": "User not found."}}, ModelAuthentication),
        (None, {"error": {"message": "bad", "type": "BadRequestError", "code": 400}}, ModelRequestRejected),
        (None, {"error": {"code": "1214", "message": "no status"}}, ModelFailure),
    ],
)
def test_an_error_is_judged_by_what_it_is(status: int | None, told: object, kind: type[ModelFailure]) -> None:
    assert type(of_body(told, ENDPOINT, status=status)) is kind


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "upstream is full"}}},
            "upstream is full",
        ),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "too hot"}}'}}},
            "Provider returned error: too hot",
        ),
        ({"detail": "not for you"}, ": not for you"),
        ({"detail": [{"loc": ["body", "top_k"], "msg": "no such field"}]}, ": body.top_k: no such field"),
        (
            {
                "object": "error",
                "message": {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]},
            },
            "body.x: Extra inputs are not permitted",
        ),
        ({"error": {"code": 7}}, "{'error': {'code': 7}}"),
        ({"message": "<html><head><title>Bad gateway</title></head></html>"}, ": Bad gateway"),
    ],
)
def test_the_providers_own_reason_is_told(told: object, words: str) -> None:
    assert of_body(told, ENDPOINT, status=400).message.endswith(words)


@pytest.mark.parametrize(
    ("told", "delay"),
    [
        ({"error": {"message": "no", "details": [{"@type": "RetryInfo", "retryDelay": "20s"}]}}, 20),
        ({"error": {"message": "no", "details": [{"retryDelay": "1.5s"}]}}, 1.5),
        ({"error": {"message": "Please retry in 20s."}}, 20),
        ({"error": {"message": "Rate limit reached. Please try again in 1m12.5s."}}, 72.5),
        ({"error": {"message": "Please try again in 6ms. Visit us"}}, 0.006),
        ({"error": {"message": "Please retry after 26 seconds."}}, 26),
        ({"error": {"message": "Try again in 2 hours"}}, 7200),
        ({"error": {"message": "no", "retry_after": 3}}, 3),
        ({"error": {"message": "Try again in 99999999999999 days"}}, 86_400),
        ({"error": {"message": "Try again in a minute"}}, None),
    ],
)
def test_a_delay_in_the_body_is_heeded(told: object, delay: float | None) -> None:
    assert of_body(told, ENDPOINT, status=429).retry_after == delay
    assert of_body(told, ENDPOINT, status=429, retry_after=7).retry_after == 7
    assert of_body(told, ENDPOINT, status=400).retry_after is None
