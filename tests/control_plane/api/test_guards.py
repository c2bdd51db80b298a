"""The layers around the application, around something that repeats what reaches it."""

from collections.abc import AsyncGenerator, Iterable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from control_plane.api.body import BodyGuard
from control_plane.api.guard import RequestGuard
from control_plane.metrics import ApiMetrics
from services.control_plane_client.models import LARGEST_ANSWER
from tests.control_plane.api.organizations import code

LIMIT = 1024
JSON = {"Content-Type": "application/json"}
PUBLIC = "/api/v1/things"
INTERNAL = "/internal/v1/things"
#: A worker's report of a turn may be longer than what a client may send.
LIMITS = [(PUBLIC, LIMIT), (INTERNAL, 4 * LARGEST_ANSWER)]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body; fails where it is told to."""
    if scope["path"] == "/broken":
        raise RuntimeError("the secret cause")
    await Response(await Request(scope, receive).body())(scope, receive, send)


COUNTS = ApiMetrics()
APP = RequestGuard(BodyGuard(echo, LIMIT), ["localhost", "127.0.0.1", "::1", "*.example.com"], COUNTS.problem)


@pytest.fixture(scope="module")
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(APP), base_url="http://localhost:8080") as client:
        yield client


class Conversation:
    """A request whose body comes in pieces, and what was done with it, in order."""

    def __init__(self, path: str, headers: dict[bytes, bytes], chunks: Iterable[bytes]) -> None:
        every = {b"host": b"localhost", b"content-type": b"application/json"} | headers
        self.scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [*every.items()]}
        self._chunks = iter(chunks)
        self.steps: list[str] = []
        self.body = b""

    async def receive(self) -> Message:
        """The next piece."""
        self.steps.append("read")
        chunk = next(self._chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(self, message: Message) -> None:
        """A piece of the answer."""
        self.steps.append(str(message.get("status", "sent")))
        self.body += message.get("body", b"")


async def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(client: httpx.AsyncClient) -> None:
    within = b'{"a": "' + b"x" * (LIMIT - 9) + b'"}'

    answers = [await client.post(PUBLIC, content=body, headers=JSON) for body in (within, within + b" ")]

    assert answers[0].content == within
    assert code(answers[1]) == (413, "body_too_large")
    assert answers[1].json()["limit"] == LIMIT


@pytest.mark.parametrize(("path", "limit"), LIMITS)
async def test_a_body_that_announces_too_much_is_answered_unread(path: str, limit: int) -> None:
    conversation = Conversation(path, {b"content-length": b"%d" % (limit + 1)}, [b" " * (limit + 1)])

    await APP(conversation.scope, conversation.receive, conversation.send)

    assert conversation.steps[:2] == ["413", "sent"]
    assert b'"code":"body_too_large"' in conversation.body


@pytest.mark.parametrize(("path", "limit"), LIMITS)
async def test_a_body_without_a_length_is_counted_as_it_comes(path: str, limit: int) -> None:
    conversation = Conversation(path, {b"transfer-encoding": b"chunked"}, [b" " * (limit // 10)] * 50)

    await APP(conversation.scope, conversation.receive, conversation.send)

    assert conversation.steps[:12] == ["read"] * 11 + ["413"]
    assert b'"code":"body_too_large"' in conversation.body


async def test_a_body_in_pieces_arrives_whole() -> None:
    pieces = [b'{"a": ', b'"\xc3', b'\xa9"', b"", b"}"]
    conversation = Conversation(PUBLIC, {b"transfer-encoding": b"chunked"}, pieces)

    await APP(conversation.scope, conversation.receive, conversation.send)

    assert conversation.body == b"".join(pieces)


async def test_an_empty_body_is_left_to_the_route(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post(PUBLIC),
        await client.post(PUBLIC, content=b"", headers={"Content-Type": "text/plain"}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
async def test_other_content_types_are_refused(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(PUBLIC, content=b"{}", headers={"Content-Type": content_type})

    assert code(answer) == (415, "content_type_unsupported")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
async def test_forms_of_json_pass(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post(PUBLIC, content=b"{}", headers={"Content-Type": content_type})

    assert answer.content == b"{}"


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_compressed_bodies_are_refused(client: httpx.AsyncClient, encoding: str) -> None:
    answer = await client.post(PUBLIC, content=b"{}", headers=JSON | {"Content-Encoding": encoding})

    assert code(answer) == (415, "content_type_unsupported")


async def test_bodies_of_workers_are_not_looked_through(client: httpx.AsyncClient) -> None:
    answer = await client.post(INTERNAL, content=b'{"a": "\\u0000"}')

    assert answer.content == b'{"a": "\\u0000"}'


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "", "[::2]:80", "example.com"]
)
async def test_other_hosts_are_refused(client: httpx.AsyncClient, host: str) -> None:
    answer = await client.get("/", headers={"Host": host, "X-Forwarded-Host": "localhost"})

    assert code(answer) == (403, "host_forbidden")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "[::1]", "a.example.com"])
async def test_allowed_hosts_pass_with_any_port(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_probes_pass_whatever_the_host(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"Host": "10.0.0.7:8080"})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8233", "http://[::1", ""])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
async def test_a_page_of_another_origin_changes_nothing(client: httpx.AsyncClient, method: str, origin: str) -> None:
    assert code(await client.request(method, PUBLIC, headers={"Origin": origin})) == (403, "origin_denied")


async def test_the_own_origin_may_change_and_others_may_read(client: httpx.AsyncClient) -> None:
    changed = await client.post(PUBLIC, headers={"Origin": "http://localhost:8080"})
    read = await client.get(PUBLIC, headers={"Origin": "https://evil.example"})

    assert (changed.status_code, read.status_code) == (200, 200)
    assert "access-control-allow-origin" not in read.headers


async def test_every_answer_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    ids = [(await client.get(path)).headers["x-request-id"] for path in ("/", "/", "/broken")]

    assert [len(one) for one in ids] == [32, 32, 32]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("given", "kept"), [("deploy-7.a:b_c", True), ("a b", False), ("x" * 129, False), ("é", False)]
)
async def test_a_sane_request_id_of_the_client_is_kept(client: httpx.AsyncClient, given: str, kept: bool) -> None:
    answer = await client.get("/", headers={b"X-Request-ID": given.encode()})

    assert (answer.headers["x-request-id"] == given) is kept


async def test_long_uris_and_large_headers_are_refused(client: httpx.AsyncClient) -> None:
    long = await client.get("/?cursor=" + "x" * 9000)
    large = await client.get("/", headers={"X-Large": "x" * 40_000})

    assert code(long) == (414, "uri_too_long")
    assert code(large) == (431, "headers_too_large")


async def test_what_nobody_foresaw_says_nothing_of_its_cause(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")

    assert code(answer) == (500, "internal_error")
    assert "secret" not in answer.text
