"""A small HTTP server that plays the API's part, as a test tells it to."""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer; `stream` is sent as it is and then the connection is cut."""

    status: int = 200
    body: Any = None
    stream: str | None = None


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class ApiServer:
    """Answers per method and path; the last one is given again and again."""

    answers: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque[Answer]))
    seen: list[Seen] = field(default_factory=list[Seen])
    url: str = ""

    def on(self, route: str, *answers: Answer) -> None:
        """`route` as in `GET /api/v1/agents`."""
        self.answers[route].extend(answers)

    def replace(self, route: str, *answers: Answer) -> None:
        """Forget what the route was to answer."""
        self.answers[route] = deque(answers)

    def answer(self, request: Seen) -> Answer:
        self.seen.append(request)
        waiting = self.answers[f"{request.method} {request.path.partition('?')[0]}"]
        if not waiting:
            return Answer(404, {"code": "not_found", "detail": "Nothing here.", "status": 404})
        return waiting.popleft() if len(waiting) > 1 else waiting[0]

    def requests(self, method: str, path: str) -> list[Seen]:
        """What was asked, in order."""
        return [one for one in self.seen if one.method == method and one.path.partition("?")[0] == path]


@contextmanager
def serving() -> Generator[ApiServer]:
    """Serve on a free port of loopback."""
    api = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self._handle
            raise AttributeError(name)

        def _handle(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            raw = self.rfile.read(length)
            seen = Seen(self.command, self.path, dict(self.headers.items()), json.loads(raw) if raw else None)
            self._send(api.answer(seen))

        def _send(self, answer: Answer) -> None:
            content = answer.stream.encode() if answer.stream is not None else _json(answer.body)
            kind = "text/event-stream" if answer.stream is not None else "application/json"
            self.send_response(answer.status)
            self.send_header("content-type", kind)
            if answer.stream is None:
                self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        api.url = f"http://127.0.0.1:{server.server_port}"
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def entry(seq: int, kind: str, /, attempt: int = 1, **data: Any) -> str:
    """An entry of the log, as the stream sends it."""
    body = {"seq": seq, "turn": 1, "attempt": attempt, "type": kind, "data": data, "created_at": "2026-11-21T10:00:00Z"}
    return f"id: {seq}\nevent: {kind}\ndata: {json.dumps(body)}\n\n"


def delta(position: str, offset: int, text: str, attempt: int = 1, message: int = 0) -> str:
    """Text inside an open message, as the stream sends it."""
    data = {"message": message, "offset": offset, "text": text}
    body = {"type": "message.delta", "attempt": attempt, "data": data}
    return f"id: {position}\nevent: message.delta\ndata: {json.dumps(body)}\n\n"


def _json(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()
