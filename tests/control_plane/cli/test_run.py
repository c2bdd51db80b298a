"""`holdfast run`: the answer as it streams, whatever happens to the connection and to the attempts."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.api_server import Answer, ApiServer, delta, entry, serving
from tests.control_plane.cli.conftest import HOLDFAST, Cli, read_until

ID = "0190a5a0-0000-7000-8000-00000000000a"
BASE = f"/api/v1/executions/{ID}"
EVENTS = f"GET {BASE}/events"


def _execution(status: str, **more: Any) -> dict[str, Any]:
    times: dict[str, Any] = {"created_at": "2026-11-21T10:00:00Z", "finished_at": "2026-11-21T10:00:02.5Z"}
    usage = {"input_tokens": 12, "output_tokens": 3}
    return {"id": ID, "status": status, "usage": usage, "error": None, "last_seq": 5, **times, **more}


@pytest.fixture(autouse=True)
def accepted(api: ApiServer) -> None:
    api.on("POST /api/v1/executions", Answer(201, _execution("queued")))


def test_the_answer_goes_to_stdout_and_everything_around_it_to_stderr(holdfast: Cli, api: ApiServer) -> None:
    api.on(
        EVENTS,
        Answer(
            stream=entry(1, "execution.accepted")
            + entry(2, "attempt.started")
            + delta("2.6", 0, "Hello ")
            + entry(3, "tool.started", tool_call_id="a", name="add", arguments='{"a": 1}')
            + entry(4, "tool.completed", tool_call_id="a", name="add", result="3", is_error=False)
            + entry(5, "message.completed", message=0, text="Hello world")
            + entry(6, "execution.completed")
        ),
    )
    api.on(f"GET {BASE}", Answer(body=_execution("completed")))

    done = holdfast("run", "demo", "hi")

    assert done.returncode == ExitCode.OK
    assert done.stdout.replace("\n", "") == "Hello world"
    assert done.stderr.splitlines() == [
        '→ add {"a": 1}',
        "← add 3",
        f"completed · 12 tokens in, 3 out · 2.5 s · execution {ID}",
    ]


def test_a_cut_stream_goes_on_where_it_stopped_with_each_character_once(holdfast: Cli, api: ApiServer) -> None:
    api.on(
        EVENTS,
        Answer(stream=entry(1, "attempt.started") + delta("1.5", 0, "Hello") + "id: 1.8\nevent: mess"),
        Answer(503, {"code": "database_unavailable", "detail": "Away.", "status": 503}),
        Answer(
            stream=entry(1, "attempt.started")
            + delta("1.9", 3, "lo wor")
            + entry(2, "message.completed", message=0, text="Hello world")
            + entry(3, "execution.completed")
        ),
    )
    api.on(f"GET {BASE}", Answer(body=_execution("completed")))

    done = holdfast("run", "demo", "hi")

    resumed_after = [one.headers["Last-Event-ID"] for one in api.requests("GET", f"{BASE}/events")]
    assert done.stdout == "Hello world\n"
    assert resumed_after == ["0", "1.5", "1.5"]


def test_text_that_never_arrived_as_deltas_is_shown_when_its_message_completes(holdfast: Cli, api: ApiServer) -> None:
    stream = (
        delta("1.3", 0, "abc") + delta("1.9", 6, "ghi") + entry(2, "message.completed", message=0, text="abcdefghi")
    )
    api.on(EVENTS, Answer(stream=stream + entry(3, "execution.completed")))
    api.on(f"GET {BASE}", Answer(body=_execution("completed")))

    assert holdfast("run", "demo", "hi").stdout == "abcdefghi\n"


def test_a_newer_attempt_starts_the_answer_again_and_that_is_said(holdfast: Cli, api: ApiServer) -> None:
    api.on(
        EVENTS,
        Answer(
            stream=entry(1, "attempt.started")
            + delta("1.5", 0, "Once ")
            + entry(2, "attempt.lost")
            + entry(3, "attempt.started", attempt=2)
            + delta("3.5", 0, "Once upon", attempt=2)
            + delta("3.9", 5, "late", attempt=1)
            + entry(4, "message.completed", attempt=2, message=0, text="Once upon")
            + entry(5, "execution.completed")
        ),
    )
    api.on(f"GET {BASE}", Answer(body=_execution("completed")))

    done = holdfast("run", "demo", "hi")

    assert done.stdout == "Once \nOnce upon\n"
    assert "attempt 2: the answer starts again" in done.stderr


@pytest.mark.parametrize(("status", "expected"), [("failed", 1), ("timed_out", 7), ("cancelled", 8), ("completed", 0)])
def test_the_exit_code_is_how_the_execution_ended(holdfast: Cli, api: ApiServer, status: str, expected: int) -> None:
    error = {"code": "model_unknown", "message": "No such model.", "hint": "Choose one.", "retryable": False}
    api.on(EVENTS, Answer(stream=entry(1, f"execution.{status}")))
    api.on(f"GET {BASE}", Answer(body=_execution(status, error=None if status == "completed" else error)))

    done = holdfast("run", "demo", "hi")

    assert done.returncode == expected
    assert ("model_unknown: No such model.\nChoose one.\n" in done.stderr) is (status != "completed")


def test_an_execution_that_ended_before_it_was_watched_is_shown_as_ended(holdfast: Cli, api: ApiServer) -> None:
    api.on(EVENTS, Answer(204))
    api.on(f"GET {BASE}", Answer(body=_execution("failed")))

    assert holdfast("run", "demo", "hi").returncode == ExitCode.FAILED


def test_with_json_only_the_result_is_printed(holdfast: Cli, api: ApiServer) -> None:
    api.on(EVENTS, Answer(stream=delta("1.2", 0, "ab") + entry(2, "execution.completed")))
    api.on(f"GET {BASE}", Answer(body=_execution("completed")))
    api.on(f"GET {BASE}/result", Answer(body={"success": True, "response": "ab"}))

    done = holdfast("run", "demo", "hi", "-o", "json")

    assert json.loads(done.stdout) == {"success": True, "response": "ab"}


def test_with_jsonl_the_events_are_printed_as_they_come(holdfast: Cli, api: ApiServer) -> None:
    api.on(EVENTS, Answer(stream=delta("1.2", 0, "ab") + entry(2, "execution.completed")))
    api.on(f"GET {BASE}", Answer(body=_execution("completed")))

    lines = [json.loads(line) for line in holdfast("run", "demo", "hi", "-o", "jsonl").stdout.splitlines()]

    assert [(line["id"], line["type"]) for line in lines] == [("1.2", "message.delta"), ("2", "execution.completed")]


def test_what_is_asked_is_what_the_api_gets(holdfast: Cli, api: ApiServer) -> None:
    arguments = ("--session", "s", "--runtime", "scripted", "-m", "a=b=c", "--idempotency-key", "k", "--detach")

    done = holdfast("run", "demo", "-", *arguments, stdin="from stdin")

    (request,) = api.requests("POST", "/api/v1/executions")
    assert request.body == {
        "agent_id": "demo",
        "prompt": "from stdin",
        "session_id": "s",
        "runtime": "scripted",
        "metadata": {"a": "b=c"},
    }
    assert request.headers["Idempotency-Key"] == "k"
    assert done.stdout == f"{ID}\n"


def test_an_api_that_is_away_for_a_moment_gets_the_same_request_again(tmp_path: Path) -> None:
    with serving() as api:
        away = Answer(503, {"code": "temporal_unavailable", "detail": "Away.", "status": 503})
        proxy = Answer(502, "Bad gateway")
        api.on("POST /api/v1/executions", away, proxy, Answer(201, _execution("queued")))

        done = Cli(tmp_path, api.url)("run", "demo", "hi", "--detach")

        keys = {one.headers["Idempotency-Key"] for one in api.requests("POST", "/api/v1/executions")}

    assert done.returncode == ExitCode.OK
    assert len(keys) == 1


def test_ctrl_c_before_the_execution_is_known_says_how_to_find_it(holdfast: Cli, api: ApiServer) -> None:
    away = Answer(503, {"code": "temporal_unavailable", "detail": "Away.", "status": 503})
    api.replace("POST /api/v1/executions", away)
    with holdfast.started("run", "demo", "hi") as running:
        begin = read_until(running.stderr, b"Trying again")
        running.send_signal(signal.SIGINT)
        out, rest = running.communicate(timeout=20)

    (key,) = {one.headers["Idempotency-Key"] for one in api.requests("POST", "/api/v1/executions")}
    said = (begin + rest).decode()
    assert (running.returncode, out) == (ExitCode.INTERRUPTED, b"")
    assert "look for it:    holdfast executions list --agent demo\n" in said
    assert f"the same again: add --idempotency-key {key}\n" in said


def test_ctrl_c_with_nobody_to_ask_leaves_the_execution_running_and_says_how_to_go_on(
    holdfast: Cli, api: ApiServer
) -> None:
    away = Answer(503, {"code": "database_unavailable", "detail": "Away.", "status": 503})
    api.on(EVENTS, Answer(stream=entry(4, "attempt.started") + delta("4.3", 0, "abc")), away)
    command = [HOLDFAST, "run", "demo", "hi"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=holdfast.environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(3) == b"abc"
        process.send_signal(signal.SIGINT)

        out, err = process.communicate(timeout=20)

    assert process.returncode == ExitCode.INTERRUPTED
    assert out == b"\n"
    assert f"holdfast executions logs -f {ID} --after 4" in err.decode()
    assert api.requests("POST", f"{BASE}/cancel") == []


def test_logs_show_one_event_a_line(holdfast: Cli, api: ApiServer) -> None:
    api.on(
        EVENTS, Answer(stream=entry(3, "tool.started", name="add", arguments="{}") + entry(4, "execution.completed"))
    )

    done = holdfast("executions", "logs", ID, "--after", "2")

    (request,) = api.requests("GET", f"{BASE}/events")
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["3", "10:00:00", "tool.started"],
        ["4", "10:00:00", "execution.completed"],
    ]
    assert request.headers["Last-Event-ID"] == "2"
    assert request.path.endswith("?follow=false")


def test_a_result_that_is_not_there_yet_ends_with_ten(holdfast: Cli, api: ApiServer) -> None:
    api.on(f"GET {BASE}/result", Answer(202, {"execution_id": ID, "status": "running"}))

    done = holdfast("executions", "result", ID)

    assert done.returncode == ExitCode.PARTIAL
    assert "it has no result yet" in done.stderr


def test_ctrl_c_on_a_terminal_asks_and_cancels_on_request(holdfast: Cli, api: ApiServer) -> None:
    cut = Answer(stream=entry(1, "attempt.started") + delta("1.3", 0, "abc"))
    away = Answer(503, {"code": "database_unavailable", "detail": "Away.", "status": 503})
    api.on(EVENTS, cut, away)
    api.on(f"POST {BASE}/cancel", Answer(202, _execution("running")))
    api.on(f"GET {BASE}", Answer(body=_execution("cancelled")))
    terminal, end = os.openpty()
    with subprocess.Popen(
        [HOLDFAST, "run", "demo", "hi"], stdin=end, stdout=subprocess.PIPE, stderr=end, env=holdfast.environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(3) == b"abc"
        process.send_signal(signal.SIGINT)
        _read_until(terminal, b"[d/c] ")
        api.replace(EVENTS, Answer(stream=entry(2, "execution.cancelled")))
        os.write(terminal, b"c\n")

        process.communicate(timeout=20)

    os.close(end)
    os.close(terminal)
    assert process.returncode == ExitCode.CANCELLED
    assert len(api.requests("POST", f"{BASE}/cancel")) == 1


def test_a_prompt_that_is_no_text_is_a_usage_error(holdfast: Cli) -> None:
    done = holdfast("run", "demo", "bad \udcff byte")

    assert done.returncode == ExitCode.USAGE
    assert "not valid Unicode" in done.stderr


def _read_until(terminal: int, text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 1024)


def test_limits_and_a_schema_go_with_the_start(holdfast: Cli, api: ApiServer, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    options = ("--budget", "tokens=1000,cost_usd=0.5", "--output-schema", str(schema))

    done = holdfast("run", "demo", "hi", "--detach", *options)
    refused = holdfast("run", "demo", "hi", "--budget", "tokens=many")
    endless = holdfast("run", "demo", "hi", "--budget", "cost_usd=inf")

    (request,) = api.requests("POST", "/api/v1/executions")
    assert done.returncode == ExitCode.OK
    assert request.body["budget"] == {"tokens": 1000, "cost_usd": 0.5}
    assert request.body["output_schema"] == {"type": "object"}
    assert (refused.returncode, "--budget wants limits" in refused.stderr) == (ExitCode.USAGE, True)
    assert (endless.returncode, "not finite" in endless.stderr) == (ExitCode.USAGE, True)
