"""Serves the scripted model with uvicorn."""

from collections.abc import Generator
from contextlib import contextmanager
from socket import socket

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server

from services.listening.punctual import PunctualProtocol
from services.loopback_guard import LOCAL_NAMES, refusal
from services.scripted_model.app import create_app
from services.scripted_model.caller import CLOSE_EXTENSION


async def serve(host: str, port: int, *, rewords: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then close every connection and return within half a second.

    Runs in the caller's event loop: start it with `uvloop.run(serve(...))`.
    """
    await make_server(host, port, rewords=rewords).serve()


def make_server(host: str = "127.0.0.1", port: int = 0, *, rewords: bool = False) -> Server:
    """A server that is ready to serve; given sockets it takes these."""
    app = create_app(rewords=rewords)
    config = Config(
        _Guarded(app) if host in LOCAL_NAMES else app,
        host=host,
        port=port,
        http=_ClosableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    return _Server(config)


class _Guarded:
    """Refuses other origins' pages, where the server is for its own machine alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = refusal(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        answer = self._app if why is None else PlainTextResponse(f"{why}\n", status_code=403)
        await answer(scope, receive, send)


class _ClosableProtocol(PunctualProtocol):
    """Lets the application close the TCP connection in the middle of a response."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CLOSE_EXTENSION: {"close": self.transport.close}}


class _Server(Server):
    """Ends with the process's own exit code, and does not wait for answers that hang."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)
