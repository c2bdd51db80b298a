"""Somebody else's HTTP server: it says yes to everything and remembers which headers it was sent."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ForeignServer(ThreadingHTTPServer):
    """`requests` are the path and the Authorization header of each."""

    def __init__(self, port: int, answer: bytes = b'{"status": "ok"}') -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.requests: list[tuple[str, str | None]] = []

    @property
    def keys(self) -> list[str]:
        """The keys that it was sent."""
        return [key for _, key in self.requests if key is not None]

    def handle_error(self, request: object, client_address: object) -> None:
        """Callers that hang up are none of its business."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ForeignServer)
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer)

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def serving(port: int, answer: bytes = b'{"status": "ok"}') -> Generator[ForeignServer]:
    """A foreign server at a port."""
    with ForeignServer(port, answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
