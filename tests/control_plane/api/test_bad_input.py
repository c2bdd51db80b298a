"""Bad input: each gets the one status and code that says what is wrong, and where."""

import json
from typing import Any

import pytest

from tests.control_plane.api.organizations import UNKNOWN, code
from tests.stack import Stack

MCP_URL = "/toolsets/0/servers/a/url"
FORBIDDEN_URLS = (
    "file:///etc/passwd",
    "gopher://example.com/",
    "http://localhost/mcp",
    "http://0/mcp",
    "http://2130706433/mcp",
    "http://0x7f.1/mcp",
    "http://[::ffff:127.0.0.1]/mcp",
    "https://user:password@example.com/mcp",
    "https://example.com:22/mcp",
)
AGENT: dict[str, Any] = {"name": "bad", "model_id": "scripted/scripted"}
PROMPT: dict[str, Any] = {"agent_id": "plain", "prompt": "[[say x]]"}
KEY: dict[str, Any] = {"name": "bad", "scopes": ["read"]}
JSON = {"Content-Type": "application/json"}

FAR = "/toolsets/0/servers/a"


def _far(**more: Any) -> dict[str, Any]:
    """An MCP server that is reached over HTTP."""
    return {"toolsets": [{"type": "mcp", "servers": {"a": {"url": "https://far.example/mcp"} | more}}]}


#: Path, body, code and field.
FIELDS: list[tuple[str, dict[str, Any], str, str]] = [
    ("agents", {"model_id": "m"}, "field_missing", "/name"),
    ("agents", AGENT | {"nmae": "x"}, "field_unknown", "/nmae"),
    ("agents", AGENT | {"organization_id": UNKNOWN}, "field_readonly", "/organization_id"),
    ("agents", AGENT | {"id": UNKNOWN}, "field_readonly", "/id"),
    ("agents", AGENT | {"created_at": "now"}, "field_readonly", "/created_at"),
    ("agents", AGENT | {"name": ""}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": "x" * 64}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": "CON"}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": "-dash"}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": "a\n"}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": "😀"}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": "cafe\u0301"}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": UNKNOWN}, "value_invalid", "/name"),
    ("agents", AGENT | {"name": None}, "type_error", "/name"),
    ("agents", AGENT | {"model_id": 5}, "type_error", "/model_id"),
    ("agents", AGENT | {"runtime": "defalt"}, "runtime_unknown", "/runtime"),
    ("agents", AGENT | {"runtime": "No Name!"}, "runtime_unknown", "/runtime"),
    ("agents", AGENT | {"configuration": {"tempurature": 1}}, "field_unknown", "/configuration/tempurature"),
    ("agents", AGENT | {"configuration": {"temperature": 99}}, "value_invalid", "/configuration/temperature"),
    ("agents", AGENT | {"configuration": {"temperature": "1"}}, "type_error", "/configuration/temperature"),
    ("agents", AGENT | {"configuration": {"max_tokens": -1}}, "value_invalid", "/configuration/max_tokens"),
    ("agents", AGENT | {"configuration": {"max_tokens": True}}, "type_error", "/configuration/max_tokens"),
    ("agents", AGENT | {"configuration": {"max_tokens": "5"}}, "type_error", "/configuration/max_tokens"),
    ("agents", AGENT | {"configuration": {"top_p": 2}}, "value_invalid", "/configuration/top_p"),
    ("agents", AGENT | {"configuration": {"stop": 5}}, "type_error", "/configuration/stop"),
    (
        "agents",
        AGENT | {"configuration": {"runtime_config": {"max_turn": 1}}},
        "option_unsupported",
        "/configuration/runtime_config",
    ),
    ("agents", AGENT | {"toolsets": [{"type": "shel"}]}, "value_invalid", "/toolsets/0/type"),
    ("agents", AGENT | {"toolsets": [{"type": "shell", "memory": 5}]}, "field_unknown", "/toolsets/0/memory"),
    ("agents", AGENT | {"toolsets": [{"type": "shell", "memory_mb": "5"}]}, "type_error", "/toolsets/0/memory_mb"),
    ("agents", AGENT | {"toolsets": [{"type": "shell", "memory_mb": 5}]}, "value_invalid", "/toolsets/0/memory_mb"),
    ("agents", AGENT | {"toolsets": [{"type": "shell", "policy": {}}]}, "value_invalid", "/toolsets/0/policy"),
    ("agents", AGENT | {"toolsets": [{"type": "shell", "tools": {"bash": {}}}]}, "value_invalid", "/toolsets/0/tools"),
    (
        "agents",
        AGENT | {"toolsets": [{"type": "shell", "tools": {"shell": {"approval": "maybe"}}}]},
        "value_invalid",
        "/toolsets/0/tools/shell/approval",
    ),
    *(
        ("agents", AGENT | {"toolsets": [{"type": "mcp", "servers": {"a": {"url": url}}}]}, "url_forbidden", MCP_URL)
        for url in FORBIDDEN_URLS
    ),
    (
        "agents",
        AGENT | {"toolsets": [{"type": "mcp", "servers": {"a": {"command": ["sh -c 'rm x'"]}}}]},
        "command_forbidden",
        "/toolsets/0/servers/a/command",
    ),
    ("agents", AGENT | {"toolsets": [{"type": "mcp", "servers": {"a": {}}}]}, "value_invalid", "/toolsets/0/servers/a"),
    *(
        ("agents", AGENT | _far(headers={name: given}), "value_invalid", f"{FAR}/headers/{name}")
        for name in ("Content-Length", "host", "Transfer-Encoding", "Connection", "Bad Header", "X:Y", "Ä")
        for given in ("5", {"secret": "T"})
    ),
    *(
        ("agents", AGENT | _far(headers={"X-A": value}), "value_invalid", f"{FAR}/headers/X-A")
        for value in (" x", "x ", "a\nb", "a\x01b", "\u2026")
    ),
    ("agents", AGENT | _far(headers={"X-A": "1", "x-a": "2"}), "value_invalid", f"{FAR}/headers"),
    ("agents", AGENT | _far(query="key=\u2026"), "value_invalid", f"{FAR}/query"),
    (
        "agents",
        AGENT | _far(url="https://far.example/mcp?key=\u2026"),
        "value_invalid",
        f"{FAR}/url",
    ),
    ("agents", AGENT | {"toolsets": [{}]}, "field_missing", "/toolsets/0/type"),
    ("agents", AGENT | {"toolsets": ["file_system"]}, "type_error", "/toolsets/0"),
    ("agents", AGENT | {"toolsets": [{"type": "file_system"}] * 10_000}, "value_invalid", "/toolsets"),
    ("agents", AGENT | {"toolsets": [{"type": "file_system"}] * 2}, "value_invalid", "/toolsets"),
    (
        "agents",
        AGENT | {"toolsets": [{"type": "python", "functions": ["a:f", "b:f"]}]},
        "value_invalid",
        "/toolsets",
    ),
    (
        "agents",
        AGENT | {"toolsets": [{"type": "python", "functions": ["a:b c"]}]},
        "value_invalid",
        "/toolsets/0/functions/0",
    ),
    (
        "agents",
        AGENT | {"toolsets": [{"type": "python", "function": ["a:f"]}]},
        "field_unknown",
        "/toolsets/0/function",
    ),
    ("executions", {"agent_id": "plain"}, "field_missing", "/prompt"),
    ("executions", PROMPT | {"prompt": ""}, "value_invalid", "/prompt"),
    ("executions", PROMPT | {"prompt": 5}, "type_error", "/prompt"),
    ("executions", PROMPT | {"interactive": "yes"}, "type_error", "/interactive"),
    ("executions", PROMPT | {"session_id": "x"}, "type_error", "/session_id"),
    ("executions", PROMPT | {"status": "completed"}, "field_readonly", "/status"),
    ("executions", PROMPT | {"metadata": {str(n): n for n in range(65)}}, "metadata_limits", "/metadata"),
    ("executions", PROMPT | {"metadata": {"a": "x" * 1_000_000}}, "metadata_limits", "/metadata"),
    ("executions", PROMPT | {"metadata": {"": 1}}, "metadata_limits", "/metadata"),
    ("executions", PROMPT | {"metadata": {"a": {"b": 1}}}, "type_error", "/metadata/a"),
    ("keys", KEY | {"scopes": []}, "value_invalid", "/scopes"),
    ("keys", KEY | {"scopes": ["root"]}, "value_invalid", "/scopes/0"),
    ("keys", KEY | {"expires_at": "2020-01-01T00:00:00Z"}, "value_invalid", "/expires_at"),
    ("keys", KEY | {"expires_at": "2099-01-01T00:00:00"}, "value_invalid", "/expires_at"),
    ("keys", KEY | {"expires_at": "9999-12-31T23:59:59-14:00"}, "value_invalid", "/expires_at"),
    ("keys", KEY | {"expires_at": "soon"}, "type_error", "/expires_at"),
]


@pytest.mark.parametrize(
    ("content", "status", "expected", "field"),
    [
        (b"", 400, "body_required", None),
        (b'{"a":', 400, "json_invalid", None),
        (b"[]", 422, "type_error", "/"),
        (b'"text"', 422, "type_error", "/"),
        (b"null", 422, "type_error", "/"),
        (b'{"name": "a", "name": "b"}', 400, "json_duplicate_key", "/name"),
        (b"[" * 100_000, 400, "json_too_deep", None),
        (b'{"a":' * 100_000, 400, "json_too_deep", None),
        (b'{"name": "\xff"}', 400, "body_not_utf8", None),
        (b'{"name": "a\\u0000"}', 422, "text_nul", "/name"),
        (b'{"name": "\\ud800"}', 422, "text_not_utf8", "/name"),
        (b'{"\\ud800": 1}', 422, "text_not_utf8", "/\\ud800"),
        (b'{"configuration": {"seed": NaN}}', 422, "number_out_of_range", "/configuration/seed"),
        (b'{"configuration": {"seed": -Infinity}}', 422, "number_out_of_range", "/configuration/seed"),
        (b'{"configuration": {"seed": 1e400}}', 422, "number_out_of_range", "/configuration/seed"),
        (b'{"configuration": {"seed": 9223372036854775808}}', 422, "number_out_of_range", "/configuration/seed"),
    ],
)
async def test_a_body_that_is_no_json_of_ours_is_refused(
    stack: Stack, content: bytes, status: int, expected: str, field: str | None
) -> None:
    answer = await stack.http.post("/api/v1/agents", content=content, headers=JSON)

    assert code(answer) == (status, expected)
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/plain"}, {"Content-Type": ""}, JSON | {"Content-Encoding": "gzip"}],
)
async def test_a_body_of_another_kind_is_refused(stack: Stack, headers: dict[str, str]) -> None:
    answer = await stack.http.post("/api/v1/agents", content=json.dumps(AGENT), headers=headers)

    assert code(answer) == (415, "content_type_unsupported")


@pytest.mark.parametrize(("path", "body", "expected", "field"), FIELDS)
async def test_a_field_that_is_wrong_is_named(
    stack: Stack, path: str, body: dict[str, Any], expected: str, field: str
) -> None:
    answer = await stack.http.post(f"/api/v1/{path}", json=body)

    assert code(answer) == (422, expected)
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (AGENT | {"configuration": {"tempurature": 1}}, "Did you mean 'temperature'?"),
        (AGENT | {"runtime": "defalt"}, "Did you mean 'default'?"),
    ],
)
async def test_what_was_perhaps_meant_is_said(stack: Stack, body: dict[str, Any], hint: str) -> None:
    answer = await stack.http.post("/api/v1/agents", json=body)

    assert answer.json()["hint"].startswith(hint)


async def test_a_system_prompt_has_a_limit_of_its_own(stack: Stack) -> None:
    answer = await stack.http.post("/api/v1/agents", json=AGENT | {"system_prompt": "x" * 5_000_000})

    assert code(answer) == (413, "prompt_too_large")


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("agents?limit=0", 422, "value_invalid"),
        ("agents?limit=-1", 422, "value_invalid"),
        ("agents?limit=1000000", 422, "value_invalid"),
        ("agents?limit=many", 422, "type_error"),
        ("agents?limit=1&limit=2", 422, "value_invalid"),
        ("executions?status=failed&status=", 422, "value_invalid"),
        ("agents?cursor=forged", 400, "cursor_invalid"),
        ("agents?cursor=%00", 400, "cursor_invalid"),
        ("agents?cursor=W251bGwsbnVsbF0", 400, "cursor_invalid"),
        ("agents?runtime=%00", 422, "text_nul"),
        ("executions?runtime=%00", 422, "text_nul"),
        ("executions?status=id;drop%20table", 422, "value_invalid"),
        ("executions?agent_id=x'%20OR%20'1'='1", 422, "type_error"),
        ("executions?sort=id", 422, "field_unknown"),
        ("executions/abc", 404, "not_found"),
        ("executions/..%2f..%2fetc%2fpasswd", 404, "not_found"),
        ("agents/%2e%2e", 404, "not_found"),
        ("agents/%00", 404, "not_found"),
        ("agents/%ff", 404, "not_found"),
        ("nothing", 404, "not_found"),
        ("agents?limit=" + "1" * 60_000, 414, "uri_too_long"),
    ],
)
async def test_an_address_that_leads_nowhere_is_refused(stack: Stack, path: str, status: int, expected: str) -> None:
    answer = await stack.http.get(f"/api/v1/{path}")

    assert code(answer) == (status, expected)


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({"X-Large": "a" * 40_000}, 431, "headers_too_large"),
        ({"Host": "rebound.example"}, 403, "host_forbidden"),
        ({"Origin": "https://evil.example"}, 403, "origin_denied"),
        ({"Origin": "null"}, 403, "origin_denied"),
    ],
)
async def test_a_request_from_elsewhere_is_refused(
    stack: Stack, headers: dict[str, str], status: int, expected: str
) -> None:
    answer = await stack.http.post("/api/v1/agents", json=AGENT, headers=headers)

    assert code(answer) == (status, expected)


async def test_what_a_stranger_says_of_the_way_here_is_ignored(stack: Stack) -> None:
    agent = await stack.agent("forwarded")

    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "X-Forwarded-For": "10.0.0.1"}
    answer = await stack.http.post("/api/v1/executions", json=PROMPT, headers=headers)

    assert agent["id"]
    assert answer.headers["location"] == f"/api/v1/executions/{answer.json()['id']}"


@pytest.mark.parametrize("key", ["", "x" * 256, "x" * 10_000, "a\tb", "\u00fc"])
async def test_an_idempotency_key_is_short_printable_ascii(stack: Stack, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}

    answer = await stack.http.post("/api/v1/executions", json=PROMPT, headers=headers)  # pyright: ignore[reportArgumentType]

    assert code(answer) == (400, "idempotency_key_invalid")
    assert answer.json()["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/agents/plain", "DELETE, GET, PATCH"),
        ("DELETE", "/api/v1/agents", "GET, POST"),
        ("TRACE", "/api/v1/executions", "GET, POST"),
        ("OPTIONS", "/api/v1/keys", "GET, POST"),
        ("POST", "/health/live", "GET"),
    ],
)
async def test_a_method_that_is_not_there_is_told_which_are(stack: Stack, method: str, path: str, allowed: str) -> None:
    answer = await stack.http.request(method, path)

    assert code(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


async def test_a_request_keeps_the_id_that_its_caller_gave_it(stack: Stack) -> None:
    answers = [
        await stack.http.get("/api/v1/nothing", headers={"X-Request-Id": given}) for given in ("mine-1", "no <b>id</b>")
    ]

    assert answers[0].json()["request_id"] == "mine-1"
    assert "<b>" not in answers[1].text
