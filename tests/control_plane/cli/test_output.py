"""The contract of output: data on stdout, everything else on stderr, in the form that was asked for."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.cli.command_line import wants_json
from control_plane.cli.follow import WatchedEvent
from control_plane.cli.output import Output, Printer, ago, printable
from control_plane.cli.transcript import Transcript
from tests.control_plane.cli.api_server import Answer, ApiServer
from tests.control_plane.cli.conftest import Cli

AGENT: dict[str, Any] = {
    "id": "0190a5a0-0000-7000-8000-000000000001",
    "name": "demo",
    "description": "",
    "runtime": "default",
    "model_id": "scripted/scripted",
    "version": 1,
    "updated_at": "2026-11-21T10:00:00+00:00",
}


@pytest.fixture
def agents(api: ApiServer) -> None:
    api.on("GET /api/v1/agents", Answer(body={"items": [AGENT, AGENT], "next_cursor": "abc"}))


@pytest.mark.usefixtures("agents")
def test_a_table_goes_to_stdout_whole_and_the_rest_to_stderr(holdfast: Cli) -> None:
    done = holdfast("agents", "list")

    header, *rows = done.stdout.splitlines()
    assert header.split() == ["ID", "NAME", "RUNTIME", "TEMPLATE", "MODEL", "VERSION", "UPDATED", "DESCRIPTION"]
    assert all(AGENT["id"] in row for row in rows)
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == "There are more: --cursor abc\n"


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("flags", [("-o", "json"), ("--output=json",), ("--json",)])
def test_json_is_the_api_s_own_document(holdfast: Cli, flags: tuple[str, ...]) -> None:
    done = holdfast("agents", "list", *flags)

    assert json.loads(done.stdout) == {"items": [AGENT, AGENT], "next_cursor": "abc"}
    assert done.stderr == ""


@pytest.mark.usefixtures("agents")
def test_jsonl_is_one_object_on_each_line(holdfast: Cli) -> None:
    done = holdfast("agents", "list", "-o", "jsonl")

    assert [json.loads(line) for line in done.stdout.splitlines()] == [AGENT, AGENT]


def test_the_key_and_the_filters_reach_the_api(holdfast: Cli, api: ApiServer) -> None:
    api.on("GET /api/v1/executions", Answer(body={"items": [], "next_cursor": None}))

    done = holdfast("executions", "list", "--status", "running", "--limit", "3")

    (request,) = api.seen
    assert request.path == "/api/v1/executions?limit=3&status=running"
    assert request.headers["Authorization"] == "Bearer hf_test"
    assert (done.stdout, done.stderr) == ("", "Nothing found.\n")


def test_what_could_steer_a_terminal_is_taken_out() -> None:
    nasty = "a\x1b[31mb\x1b]0;title\x07c\x07d\u202ee\x9bf\tg\nh\r"

    assert printable(nasty) == "abcdef\tg\nh"


def test_text_that_goes_to_a_file_is_left_as_it_is() -> None:
    out = io.StringIO()

    Printer(Output.TABLE, out=out, err=io.StringIO()).text("a\x1b[31mb")

    assert out.getvalue() == "a\x1b[31mb"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-21T09:59:48Z", "12 s ago"),
        ("2026-11-21T09:15:00Z", "45 min ago"),
        ("2026-11-19T09:00:00Z", "2 d ago"),
        ("2026-10-01T00:00:00Z", "2026-10-01"),
        (None, "-"),
    ],
)
def test_times_are_told_as_people_tell_them(moment: str | None, expected: str) -> None:
    assert ago(moment, now=datetime(2026, 11, 21, 10, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["agents", "list", "-o", "json"], True),
        (["agents", "list", "-ojsonl"], True),
        (["run", "demo", "x", "--json"], True),
        (["run", "demo", "-o json"], False),
        (["agents", "list", "-o", "table"], False),
    ],
)
def test_the_form_of_errors_is_known_before_the_arguments_are_understood(arguments: list[str], expected: bool) -> None:
    assert wants_json(arguments) is expected


@pytest.mark.parametrize("message", ["ConnectError: All connection attempts failed", "The server went away."])
def test_a_reason_ends_as_a_sentence_before_what_follows_it(message: str) -> None:
    err = io.StringIO()
    data = {"attempt": 1, "error": {"message": message, "retryable": True}}
    event = WatchedEvent("1", "attempt.failed", {"turn": 1, "attempt": 1, "data": data})

    Transcript(Printer(Output.TABLE, out=io.StringIO(), err=err)).show(event)

    assert f"failed: {message.rstrip('.')}. It is tried again." in err.getvalue()
