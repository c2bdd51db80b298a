"""Errors as the OpenAI wire tells them."""

from collections.abc import Mapping
from typing import Any

from runtimes.errors import (
    BudgetExceeded,
    ContentRefused,
    ContextTooLong,
    ModelAuthentication,
    ModelNotFound,
    ModelQuotaExhausted,
    ModelRateLimited,
    RuntimeFailure,
)
from services.model_gateway.wires.wire import status

#: Type and code of failures that have their own.
_CODES: Mapping[type[RuntimeFailure], tuple[str, str]] = {
    ModelRateLimited: ("requests", "rate_limit_exceeded"),
    ModelQuotaExhausted: ("insufficient_quota", "insufficient_quota"),
    ModelAuthentication: ("invalid_request_error", "invalid_api_key"),
    ModelNotFound: ("invalid_request_error", "model_not_found"),
    ContextTooLong: ("invalid_request_error", "context_length_exceeded"),
    ContentRefused: ("invalid_request_error", "content_policy_violation"),
    BudgetExceeded: ("invalid_request_error", "budget_exceeded"),
}


def openai_error(failure: RuntimeFailure) -> dict[str, Any]:
    """The body of an error response."""
    usual = "server_error" if status(failure) >= 500 else "invalid_request_error", failure.code
    kind, code = next((found for of, found in _CODES.items() if isinstance(failure, of)), usual)
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": code}}
