"""Serves the scripted model with uvicorn."""

from collections.abc import Generator
from contextlib import contextmanager
from socket import socket

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.scripted_model.app import create_app
from services.scripted_model.caller import CLOSE_EXTENSION


async def serve(host: str, port: int, *, rewords: bool = False) -> None:
    """Serve until SIGTERM or SIGINT, then close every connection and return within half a second.

    Runs in the caller's event loop: start it with `uvloop.run(serve(...))`.
    """
    await make_server(host, port, rewords=rewords).serve()


def make_server(host: str = "127.0.0.1", port: int = 0, *, rewords: bool = False) -> Server:
    """A server that is ready to serve; given sockets it takes these."""
    config = Config(
        create_app(rewords=rewords),
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


class _ClosableProtocol(HttpToolsProtocol):
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
