"""Keeps what was said in turns out of logs: what libraries write of requests, answers, and errors that quote them."""

import logging
import traceback
from collections.abc import Iterator

from structlog.typing import EventDict, WrappedLogger
from temporalio.exceptions import ApplicationError

#: Whose loggers are ours: they tell no content at any level.
OURS = frozenset({"activities", "control_plane", "db", "runtimes", "services", "workflows"})
#: Libraries that tell none from INFO on, but for errors. Others, frameworks and SDKs among them, tell what they like.
_DISCREET = frozenset({"aiohttp", "alembic", "opentelemetry", "sqlalchemy", "temporalio", "uvicorn"})


class WithoutContent(logging.Filter):
    """Lets no line of a library pass that is below INFO; of others, those of talkative ones say no more than where."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line may be written."""
        library = record.name.partition(".")[0]
        if library in OURS:
            return True
        if library not in _DISCREET:
            record.msg, record.args = "a library's line, whose text is not told", ()
            record.__dict__["line"] = f"{record.pathname.rpartition('site-packages/')[2]}:{record.lineno}"
        return record.levelno >= logging.INFO


def without_messages(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Tell the types, the codes and the lines of an error that a library logs, and none of its texts."""
    if str(event.get("logger")).partition(".")[0] not in OURS and (found := event.pop("exc_info", None)):
        event["exception"] = "\n".join(_told(found[1]))
    return event


def _told(error: BaseException | None) -> Iterator[str]:
    if error is None:
        return
    yield from _told(error.__cause__ or (None if error.__suppress_context__ else error.__context__))
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    code = f" ({error.type})" if isinstance(error, ApplicationError) else ""
    yield f"{type(error).__module__}.{type(error).__qualname__}{code}"
