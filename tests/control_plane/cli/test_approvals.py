"""What agents ask, as people see it in a terminal, and how they decide."""

import json
from typing import Any

import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.api_server import Answer, ApiServer, entry
from tests.control_plane.cli.conftest import Cli

ID, OTHER = "5f0d7c0e-3a51-5b0c-9d3c-0f27b2a4f6e1", "5f1d7c0e-3a51-5b0c-9d3c-0f27b2a4f6e2"
EXECUTION = "0190a5a0-0000-7000-8000-00000000000a"
BASE = f"/api/v1/executions/{EXECUTION}"
HIDDEN = "rm \u202etxt.a\u202c \x1b[31mred\u200b"
APPROVAL: dict[str, Any] = {
    "id": ID,
    "execution_id": EXECUTION,
    "agent_name": "support",
    "kind": "tool_call",
    "name": "shell",
    "digest": "d1",
    "detail": {"tool_call_id": "call_1", "arguments": {"command": HIDDEN}},
    "status": "pending",
    "decided_by": None,
    "note": "",
    "created_at": "2026-11-21T10:00:00Z",
    "expires_at": "2026-11-28T10:00:00Z",
}


@pytest.fixture(autouse=True)
def inbox(api: ApiServer) -> None:
    api.on("GET /api/v1/approvals", Answer(body={"items": [APPROVAL, APPROVAL | {"id": OTHER}], "next_cursor": None}))
    api.on(f"GET /api/v1/approvals/{ID}", Answer(body=APPROVAL))
    for verb, status in (("approve", "approved"), ("deny", "denied")):
        api.on(f"POST /api/v1/approvals/{ID}/{verb}", Answer(body=APPROVAL | {"status": status, "warnings": []}))


def test_what_cannot_be_seen_is_made_visible(holdfast: Cli) -> None:
    shown = [holdfast("approvals", "show", ID).stdout, holdfast("approvals", "list").stdout]

    for text in shown:
        assert r"rm \u202etxt.a\u202c" in text
        assert r"[31mred\u200b" in text
        assert not {"\u202e", "\u202c", "\x1b", "\u200b"} & set(text)


def test_json_is_what_was_asked_to_the_letter(holdfast: Cli) -> None:
    assert holdfast.json("approvals", "show", ID)["detail"]["arguments"]["command"] == HIDDEN


def test_a_decision_is_bound_to_what_was_seen(holdfast: Cli, api: ApiServer) -> None:
    approved = holdfast("approvals", "approve", "5f0d", "--note", "fine")
    denied = holdfast("approvals", "deny", ID)

    (yes,) = api.requests("POST", f"/api/v1/approvals/{ID}/approve")
    (no,) = api.requests("POST", f"/api/v1/approvals/{ID}/deny")
    assert yes.body == {"note": "fine", "digest": "d1"}
    assert no.body == {"note": "", "digest": "d1"}
    assert approved.stderr.startswith("Approved: shell ")
    assert denied.stderr.startswith("Denied: shell ")


@pytest.mark.parametrize(("limit", "sent"), [("20000", 20000), ("0.5", 0.5)])
def test_a_budget_is_raised(holdfast: Cli, api: ApiServer, limit: str, sent: float) -> None:
    holdfast("approvals", "approve", ID, "--limit", limit)

    (request,) = api.requests("POST", f"/api/v1/approvals/{ID}/approve")
    assert (request.body["limit"], type(request.body["limit"])) == (sent, type(sent))


@pytest.mark.parametrize(
    ("given", "expected"),
    [("5f", ExitCode.USAGE), ("77", ExitCode.NOT_FOUND), ("..", ExitCode.USAGE), (OTHER, ExitCode.NOT_FOUND)],
)
def test_an_id_that_is_not_one_decides_nothing(holdfast: Cli, given: str, expected: ExitCode) -> None:
    assert holdfast("approvals", "approve", given).returncode == expected


def test_an_expired_approval_is_a_conflict(holdfast: Cli, api: ApiServer) -> None:
    expired = Answer(410, {"code": "approval_expired", "detail": "Nobody decided.", "status": 410})
    api.replace(f"POST /api/v1/approvals/{ID}/approve", expired)

    assert holdfast("approvals", "approve", ID).returncode == ExitCode.CONFLICT


def test_run_says_what_is_asked_and_how_to_decide_and_goes_on(holdfast: Cli, api: ApiServer) -> None:
    execution = {"id": EXECUTION, "usage": {"cost_usd": 0.5}, "error": None, "status": "completed"}
    times = {"created_at": "2026-11-21T10:00:00Z", "finished_at": "2026-11-21T10:00:02Z"}
    asked: dict[str, Any] = {"approval_id": ID, "kind": "tool_call", "name": "shell", "arguments": {"command": HIDDEN}}
    raised: dict[str, Any] = {"approval_id": OTHER, "kind": "budget", "name": "tokens", "limit": "tokens", "value": 100}
    stream = (
        entry(1, "attempt.started")
        + entry(2, "message.completed", message=0, text="Let me see.")
        + entry(3, "approval.requested", **asked)
        + entry(4, "execution.waiting", waits=[ID])
        + entry(5, "approval.approved", approval_id=ID, decided_by="dashboard", note="fine")
        + entry(6, "attempt.started", attempt=2)
        + entry(7, "tool.unknown", attempt=2, tool_call_id="b", name="pay")
        + entry(8, "approval.requested", attempt=2, **raised)
        + entry(9, "approval.expired", approval_id=OTHER)
        + entry(10, "message.completed", attempt=3, message=0, text="Done.")
        + entry(11, "execution.completed")
    )
    api.on("POST /api/v1/executions", Answer(201, execution | times | {"status": "queued"}))
    api.on(f"GET {BASE}/events", Answer(stream=stream))
    api.on(f"GET {BASE}", Answer(body=execution | times))

    done = holdfast("run", "demo", "hi", "-i")

    assert done.stdout == "Let me see.\nDone.\n"
    assert done.stderr.splitlines() == [
        r'? shell {"command": "rm \u202etxt.a\u202c \u001b[31mred\u200b"} wants to run',
        f"  holdfast approvals approve {ID}",
        f"  holdfast approvals deny {ID}",
        "waiting for it; it may take days",
        "approved by dashboard: fine",
        "? pay was cut off: nobody knows whether it was done",
        "? the limit is reached: tokens = 100",
        f"  holdfast approvals approve {OTHER} --limit N",
        "expired",
        f"completed · $0.5000 · 2.0 s · execution {EXECUTION}",
    ]


STEP: dict[str, Any] = {
    "turn": 1,
    "ordinal": 1,
    "attempt": 2,
    "kind": "model_call",
    "name": "openai/gpt",
    "status": "done",
    "usage": {"input_tokens": 12, "output_tokens": 3, "cost_usd": None},
    "timings": {"total": 1.5},
}


def test_steps_are_a_table_or_the_api_s_own_documents(holdfast: Cli, api: ApiServer) -> None:
    tool: dict[str, Any] = STEP | {"ordinal": 2, "kind": "tool_call", "name": "shell", "timings": {}}
    tool |= {"usage": {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}}
    api.on(f"GET {BASE}/steps", Answer(body={"items": [STEP, tool], "next_cursor": None}))
    api.on(f"GET {BASE}/steps/1/2", Answer(body=tool | {"response": {"text": "ok"}}))

    table = holdfast("executions", "steps", EXECUTION).stdout.splitlines()
    lines = holdfast("executions", "steps", EXECUTION, "-o", "jsonl").stdout.splitlines()
    one = holdfast.json("executions", "step", EXECUTION, "1", "2")

    assert [line.split() for line in table[1:]] == [
        ["1", "1", "model_call", "openai/gpt", "done", "2", "15", "?", "1.50"],
        ["1", "2", "tool_call", "shell", "done", "2", "-", "-", "-"],
    ]
    assert [json.loads(line) for line in lines] == [STEP, tool]
    assert one["response"] == {"text": "ok"}
