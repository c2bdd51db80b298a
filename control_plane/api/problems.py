"""Turns every error into the one shape of an answer: RFC 9457 `application/problem+json`."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from control_plane.errors import (
    BadRequest,
    BodyRequired,
    DatabaseUnavailable,
    FieldMissing,
    FieldReadonly,
    FieldUnknown,
    HoldfastError,
    InternalError,
    JsonInvalid,
    MetadataLimits,
    MethodNotAllowed,
    NotFound,
    NumberOutOfRange,
    TextNul,
    TypeMismatch,
    ValueInvalid,
)

log = structlog.get_logger(__name__)

REQUEST_ID = "holdfast.request_id"

#: Longest piece of the client's input that an answer repeats.
ECHO = 80

#: Errors of pydantic by its name for them; what is not here is `value_invalid` or, by its ending, `type_error`.
BY_TYPE: Mapping[str, type[HoldfastError]] = {
    "missing": FieldMissing,
    "field_unknown": FieldUnknown,
    "extra_forbidden": FieldUnknown,
    "field_readonly": FieldReadonly,
    "finite_number": NumberOutOfRange,
    "int_parsing_size": NumberOutOfRange,
    "json_invalid": JsonInvalid,
    "text_nul": TextNul,
    "metadata_limits": MetadataLimits,
}


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"


def problem_response(error: HoldfastError, scope: Scope) -> Response:
    """The answer that an error becomes."""
    request_id = scope.get(REQUEST_ID, "")
    problem = {
        "type": f"urn:holdfast:error:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "hint": error.hint,
        "field": error.field,
        "request_id": request_id,
        **error.extra,
    }
    return ProblemResponse(problem, status_code=error.status, headers=dict(error.headers))


def install_problem_handlers(app: FastAPI) -> None:
    """Answer in the one shape whatever goes wrong inside the app."""
    for kind in (HoldfastError, HTTPException, RequestValidationError, DBAPIError, PoolTimeout):
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    return problem_response(as_holdfast_error(error, request.scope), request.scope)


def as_holdfast_error(error: Exception, scope: Scope) -> HoldfastError:
    """What an exception means to the client; anything unforeseen is logged and means `internal_error`."""
    match error:
        case HoldfastError():
            return error
        case RequestValidationError():
            return _from_validation(error)
        case HTTPException():
            return _from_router(error, scope)
        case _ if _is_outage(error):
            log.warning("database unavailable", request_id=scope.get(REQUEST_ID), error=str(error))
            return DatabaseUnavailable("The database does not answer.")
        case _:
            log.error("unexpected error", request_id=scope.get(REQUEST_ID), path=scope["path"], exc_info=error)
            return InternalError("Something went wrong inside Holdfast.")


def _is_outage(error: Exception) -> bool:
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return True
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _from_router(error: HTTPException, scope: Scope) -> HoldfastError:
    if error.status_code == 404:
        return NotFound("There is nothing at this path.")
    if error.status_code == 405:
        allow = ", ".join(sorted(_allowed_methods(scope)))
        return MethodNotAllowed(f"{scope['method'][:ECHO]} is not possible here.", headers={"Allow": allow})
    if error.status_code < 500:
        return BadRequest(str(error.detail))
    return InternalError("Something went wrong inside Holdfast.")


def _allowed_methods(scope: Scope) -> set[str]:
    routes: Sequence[BaseRoute] = scope["app"].routes
    matching = (route for route in routes if route.matches(scope)[0] is not Match.NONE)
    return {method for route in matching for method in getattr(route, "methods", None) or ()}


def _from_validation(invalid: RequestValidationError) -> HoldfastError:
    error = invalid.errors()[0]
    place, *path = error["loc"]
    if place == "path":
        return NotFound("There is nothing with this id.")
    if place == "body" and not path and error["type"] == "missing":
        return BodyRequired("The request needs a body.")
    kind = BY_TYPE.get(error["type"]) or (TypeMismatch if _is_type(error["type"]) else ValueInvalid)
    context: Mapping[str, Any] = error.get("ctx", {})
    if "name" in context:
        path.append(context["name"])
    field = _pointer(path, invalid.body) if place == "body" else "/".join(str(part) for part in path)
    return kind(_sentence(kind, error["msg"], path), hint=_suggestion(path, context.get("known", ())), field=field)


def _is_type(name: str) -> bool:
    return name.endswith(("_type", "_parsing"))


def _sentence(kind: type[HoldfastError], message: str, path: Sequence[str | int]) -> str:
    name = str(path[-1])[:ECHO] if path else "body"
    if kind is FieldUnknown:
        return f"There is no field '{name}' here."
    if kind is FieldMissing:
        return f"'{name}' is missing."
    return f"'{name}': {message.removeprefix('Value error, ')}"


def _suggestion(path: Sequence[str | int], known: Sequence[str]) -> str:
    if not known:
        return ""
    close = get_close_matches(str(path[-1]), known, n=1)
    return f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(sorted(known))}."


def _pointer(path: Sequence[str | int], body: Any) -> str:
    """The JSON pointer of a place in the body; parts that name a union's member are left out."""
    parts: list[str] = []
    for index, part in enumerate(path):
        inside = _child(body, part)
        if inside is None and index < len(path) - 1 and not _has(body, part):
            continue
        parts.append(str(part)[:ECHO].replace("~", "~0").replace("/", "~1"))
        body = inside
    return "/" + "/".join(parts)


def _has(value: Any, part: str | int) -> bool:
    return part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)


def _child(value: Any, part: str | int) -> Any:
    return value[part] if _has(value, part) else None
