"""Logging of all processes: structured, to stderr."""

import logging
import sys
from collections.abc import Sequence

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from control_plane.log_content import WithoutContent, without_messages
from control_plane.settings import LogFormat, LogLevel
from control_plane.tracing import captures_content

#: Libraries that report every request as news.
CHATTY = ("httpx", "httpx2", "httpcore")


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send structlog's and the standard library's records to stderr, as lines for people or as JSON.

    Raises:
        SettingsInvalid: the switch of content has a value that means nothing.
    """
    tells_content = captures_content()
    shared: Sequence[Processor] = (
        structlog.contextvars.merge_contextvars,
        _with_trace,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format, shared, [] if tells_content else [without_messages]))
    if not tells_content:
        handler.addFilter(WithoutContent())
    _replace_handlers(handler, level)


def _formatter(log_format: LogFormat, shared: Sequence[Processor], hiding: Sequence[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_colour_codes,
            *hiding,
            *_rendering(log_format),
        ],
    )


def _with_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Name the trace that a line belongs to, where there is one."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
        event["span_id"] = trace.format_span_id(span.span_id)
    return event


def _without_colour_codes(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Uvicorn sends each message twice, once with codes for a terminal."""
    event.pop("color_message", None)
    return event


def _rendering(log_format: LogFormat) -> list[Processor]:
    if log_format is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Never with the values of variables: there are keys among them.
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [renderer]


def _replace_handlers(handler: logging.Handler, level: LogLevel) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
