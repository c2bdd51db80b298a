"""Which requests get a span of FastAPI's, and whose trace the others belong to."""

from collections.abc import MutableMapping
from typing import Any

import structlog
from fastapi.telemetry import TelemetryConfig
from opentelemetry import context, trace
from opentelemetry.propagate import extract
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.api.credentials import Principal

#: What workers send, far more often than anybody else: it belongs to the spans that they have already.
INTERNAL = "/internal/"
#: Asked by machines, every few seconds.
PROBES = ("/health/", "/metrics")
#: Streams, open for as long as an execution runs.
STREAMS = "/events"


def _is_excluded(scope: MutableMapping[str, Any]) -> bool:
    path: str = scope["path"]
    return path.startswith((INTERNAL, *PROBES)) or path.endswith(STREAMS)


#: FastAPI traces requests itself; its log records and spans of its own steps would say nothing new.
TELEMETRY: TelemetryConfig = {
    "tracing": True,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": _is_excluded,
}


class WorkersTraces:
    """What a worker's request starts, such as another execution, belongs to the worker's trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(INTERNAL):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        token = context.attach(extract(headers))
        try:
            await self._app(scope, receive, send)
        finally:
            context.detach(token)


def tell_caller(request: Request, principal: Principal) -> None:
    """Say on the request's span, and in all that it logs, whose it is and which execution it is about."""
    organization_id = str(principal.organization_id)
    structlog.contextvars.bind_contextvars(organization_id=organization_id)
    trace.get_current_span().set_attribute("holdfast.organization.id", organization_id)
    if execution := request.path_params.get("execution_id"):
        tell_execution(str(execution))


def tell_execution(execution_id: str) -> None:
    """Say on the request's span, and in all that it logs, which execution it is about."""
    structlog.contextvars.bind_contextvars(execution_id=execution_id)
    trace.get_current_span().set_attribute("holdfast.execution.id", execution_id)
