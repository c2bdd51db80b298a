"""What the OpenAPI document says beside shapes: the errors that a route can give, and examples."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from fastapi import FastAPI

from control_plane.api.examples import ANSWERS
from control_plane.api.schemas import Problem
from control_plane.errors import (
    AuthMissing,
    BodyNotUtf8,
    BodyRequired,
    BodyTimeout,
    BodyTooLarge,
    ContentTypeUnsupported,
    CursorInvalid,
    DatabaseUnavailable,
    FieldMissing,
    FieldReadonly,
    FieldUnknown,
    HeadersTooLarge,
    HoldfastError,
    HostForbidden,
    InternalError,
    JsonDuplicateKey,
    JsonInvalid,
    JsonTooDeep,
    KeyExpired,
    KeyInvalid,
    KeyRevoked,
    NumberOutOfRange,
    OriginDenied,
    ScopeMissing,
    TextNotUtf8,
    TextNul,
    TypeMismatch,
    UriTooLong,
    ValueInvalid,
)

Kinds = tuple[type[HoldfastError], ...]

OPEN: Kinds = (HeadersTooLarge, HostForbidden, InternalError, UriTooLong)
KEYED: Kinds = (*OPEN, AuthMissing, DatabaseUnavailable, KeyExpired, KeyInvalid, KeyRevoked, ScopeMissing)
LISTING: Kinds = (*KEYED, CursorInvalid, FieldUnknown, TextNul, TypeMismatch, ValueInvalid)
#: A body is looked through also where none is wanted.
CHANGING: Kinds = (
    *KEYED,
    BodyNotUtf8,
    BodyTimeout,
    BodyTooLarge,
    ContentTypeUnsupported,
    JsonDuplicateKey,
    JsonInvalid,
    JsonTooDeep,
    NumberOutOfRange,
    OriginDenied,
    TextNotUtf8,
    TextNul,
    TypeMismatch,
)
WITH_BODY: Kinds = (*CHANGING, BodyRequired, FieldMissing, FieldReadonly, FieldUnknown, ValueInvalid)


def problems(common: Kinds, *own: type[HoldfastError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail in these ways."""
    kinds = sorted({*common, *own}, key=lambda kind: (kind.status, kind.code))
    return {status: _response(list(group)) for status, group in groupby(kinds, key=lambda kind: kind.status)}


def _response(kinds: list[type[HoldfastError]]) -> dict[str, Any]:
    return {
        "description": ", ".join(f"`{kind.code}`" for kind in kinds),
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: type[HoldfastError]) -> dict[str, Any]:
    return {
        "type": f"urn:holdfast:error:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "code": kind.code,
        "detail": f"{kind.title}.",
        "hint": kind.default_hint,
        "field": None,
        "request_id": "01a1fbbd3f39740fa615ace591473df9",
    }


def complete_document(app: FastAPI) -> None:
    """Put the shape of problems and examples into the document, and the framework's own problems out of it."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            for operation in _operations(document):
                _drop_framework_errors(operation)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema()
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            for name, example in ANSWERS.items():
                schemas[name]["examples"] = [example]
        return app.openapi_schema or {}

    app.openapi = openapi


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        yield from path.values()


def _drop_framework_errors(operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]
