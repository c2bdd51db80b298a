"""Turns every error into the one shape of an answer: RFC 9457 `application/problem+json`."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sse_starlette import ServerSentEvent
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from control_plane.errors import (
    BadRequest,
    BodyRequired,
    CommandForbidden,
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
    SchemaInvalid,
    TextNul,
    TypeMismatch,
    ValueInvalid,
)
from runtimes.meant import guess

log = structlog.get_logger(__name__)

REQUEST_ID = "holdfast.request_id"

#: Longest piece of the client's input that an answer repeats.
ECHO = 80

#: Errors of pydantic by its name for them; what is not here is `value_invalid` or, by its ending, `type_error`.
BY_TYPE: Mapping[str, type[HoldfastError]] = {
    "missing": FieldMissing,
    "field_missing": FieldMissing,
    "field_unknown": FieldUnknown,
    "extra_forbidden": FieldUnknown,
    "field_readonly": FieldReadonly,
    "finite_number": NumberOutOfRange,
    "int_parsing_size": NumberOutOfRange,
    "json_invalid": JsonInvalid,
    "text_nul": TextNul,
    "metadata_limits": MetadataLimits,
    "command_forbidden": CommandForbidden,
    "schema_invalid": SchemaInvalid,
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
    failure = as_holdfast_error(error, request.scope)
    request.app.state.api.metrics.problem(failure.code, failure.status)
    return problem_response(failure, request.scope)


def as_holdfast_error(error: Exception, scope: Scope) -> HoldfastError:
    """What an exception means to the client; anything unforeseen is logged and means `internal_error`."""
    match error:
        case HoldfastError():
            return error
        case RequestValidationError():
            return invalid_input(error)
        case HTTPException():
            return _from_router(error, scope)
        case DataError():
            log.warning(
                "value not storable", request_id=scope.get(REQUEST_ID), path=scope["path"], error=str(error.orig)
            )
            return ValueInvalid("The database cannot store a value of the request.")
        case _ if _is_outage(error):
            log.warning("database unavailable", request_id=scope.get(REQUEST_ID), error=str(error))
            return DatabaseUnavailable("The database does not answer.")
        case _:
            log.error("unexpected error", request_id=scope.get(REQUEST_ID), path=scope["path"], exc_info=error)
            return InternalError("Something went wrong inside Holdfast.")


async def until_outage(events: AsyncGenerator[ServerSentEvent]) -> AsyncGenerator[ServerSentEvent]:
    """End a stream that has begun where the database goes away: its reader comes back for the rest."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except (DBAPIError, PoolTimeout) as error:
        if not _is_outage(error):
            raise
        log.warning("database unavailable: a stream ends", error=str(error).partition("\n")[0])


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
    matching = [route for route in iter_route_contexts(routes) if route.path_regex.match(scope["path"])]
    return {method for route in matching for method in route.methods or ()}


def invalid_input(invalid: RequestValidationError) -> HoldfastError:
    """The first thing that is wrong with an input, in our words."""
    error = invalid.errors()[0]
    place, *path = error["loc"]
    if place == "path":
        return NotFound("There is nothing with this id.")
    if (place, *path, error["type"]) == ("body", "missing"):
        return BodyRequired("The request needs a body.")
    kind = _kind(error["type"])
    context: Mapping[str, Any] = error.get("ctx", {})
    path += [context["name"]] if "name" in context else []
    parts, field = _place(place, path, invalid.body, absent=kind is FieldMissing)
    hint = context.get("hint", "") or _suggestion(parts, context.get("known", ()))
    return kind(_sentence(kind, error["msg"], parts), hint=hint, field=field)


def _kind(name: str) -> type[HoldfastError]:
    otherwise = TypeMismatch if name.endswith(("_type", "_parsing")) else ValueInvalid
    return BY_TYPE.get(name, otherwise)


def _place(place: str, path: Sequence[str | int], body: Any, *, absent: bool) -> tuple[list[str], str]:
    """Where the error is: its parts, and as a JSON pointer into the body or as a parameter's name."""
    if place == "body":
        parts = _parts(path, body, absent=absent)
        return parts, _pointer(parts)
    parts = [str(part)[:ECHO] for part in path]
    return parts, "/".join(parts)


def _sentence(kind: type[HoldfastError], message: str, parts: Sequence[str]) -> str:
    if kind is FieldUnknown:
        return f"There is no field '{parts[-1]}' here."
    if kind is FieldMissing:
        return f"'{parts[-1]}' is missing."
    return f"'{'/'.join(parts) or 'body'}': {message.removeprefix('Value error, ')}"


def _suggestion(parts: Sequence[str], known: Sequence[str]) -> str:
    return guess(parts[-1], known) if known else ""


def _parts(path: Sequence[str | int], body: Any, *, absent: bool) -> list[str]:
    """The way to a place in the body, whose last part may be absent; names of a union's members are left out."""
    parts: list[str] = []
    for index, part in enumerate(path):
        if _has(body, part) or (absent and index == len(path) - 1):
            parts.append(str(part)[:ECHO])
            body = _child(body, part)
    return parts


def _pointer(parts: Sequence[str]) -> str:
    return "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def _has(value: Any, part: str | int) -> bool:
    return part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)


def _child(value: Any, part: str | int) -> Any:
    return value[part] if _has(value, part) else None
