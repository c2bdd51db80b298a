"""`holdfast run` and lists against the real stack."""

import json
import signal

import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import ENDLESS, Cli, execution_of, read_until
from tests.stack import Stack


def test_the_answer_is_on_stdout_and_how_it_went_on_stderr(cli: Cli) -> None:
    done = cli("run", "demo", "[[emit 5 @50;; say end]]")

    assert (done.returncode, done.stdout) == (ExitCode.OK, "tok1 tok2 tok3 tok4 tok5 end\n")
    assert done.stderr.startswith("completed · ")


def test_the_prompt_may_come_from_stdin_and_the_session_goes_on(cli: Cli) -> None:
    first = json.loads(cli("run", "demo", "-", "-o", "json", stdin="[[say one]]").stdout)

    second = cli("run", "demo", "[[history]]", "--session", first["session_id"])

    assert "user: [[say one]]\nassistant: one\nuser: [[history]]\n" in second.stdout


def test_tool_calls_are_shown_on_stderr_and_only_the_text_on_stdout(cli: Cli) -> None:
    definition = {"name": "files", "model_id": "scripted/scripted", "toolsets": [{"type": "file_system"}]}
    assert cli("agents", "create", "-f", "-", stdin=json.dumps(definition)).returncode == ExitCode.OK

    done = cli("run", "files", '[[tool write_file {"path": "a.txt", "content": "hi"};; say ok]]')

    assert done.stdout == "ok\n"
    assert done.stderr.splitlines()[:2] == [
        '→ write_file {"path": "a.txt", "content": "hi"}',
        "← write_file Wrote 2 bytes to a.txt.",
    ]


def test_with_json_there_is_the_result_and_nothing_else(cli: Cli) -> None:
    done = cli("run", "demo", "[[say hello]]", "-o", "json")

    assert json.loads(done.stdout)["response"] == "hello"
    assert done.stderr == ""


def test_with_jsonl_the_events_come_to_the_last_one(cli: Cli) -> None:
    done = cli("run", "demo", "[[say hello]]", "-o", "jsonl")

    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (events[0]["type"], events[-1]["type"]) == ("execution.accepted", "execution.completed")
    assert done.stderr == ""


def test_a_failed_execution_ends_with_one_and_says_what_to_do(cli: Cli) -> None:
    made = cli("agents", "create", "lost", "--model", "nowhere/x")

    done = cli("run", "lost", "hi")

    assert "Warning: No provider serves the model 'nowhere/x'" in made.stderr
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("failed · ")
    assert "model_unknown: No provider serves the model 'nowhere/x'" in done.stderr
    assert done.stderr.endswith(cli.json("executions", "get", execution_of(cli, "lost"))["error"]["hint"] + "\n")


def test_a_cancelled_execution_ends_with_eight(cli: Cli, agent: str) -> None:
    with cli.started("run", agent, ENDLESS) as running:
        read_until(running.stdout, b"first")

        asked = cli("executions", "cancel", execution_of(cli, agent))
        _, said = running.communicate(timeout=60)

    assert (asked.returncode, asked.stderr) == (ExitCode.OK, "The execution is being cancelled.\n")
    assert running.returncode == ExitCode.CANCELLED
    assert "cancelled · " in said.decode()


def test_ctrl_c_with_nobody_to_ask_leaves_the_execution_running(cli: Cli, agent: str) -> None:
    with cli.started("run", agent, ENDLESS) as running:
        read_until(running.stdout, b"first")

        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)

    execution = execution_of(cli, agent)
    status = cli.json("executions", "get", execution)["status"]
    cli("executions", "cancel", execution)
    assert (running.returncode, status) == (ExitCode.INTERRUPTED, "running")
    assert f"holdfast executions logs -f {execution} --after 3" in said.decode()


def test_a_reader_that_goes_away_ends_the_command_as_it_ends_others(cli: Cli) -> None:
    with cli.started("run", "demo", "[[emit 400 @100]]") as running:
        assert running.stdout is not None
        read_until(running.stdout, b"tok1")

        running.stdout.close()
        assert running.wait(60) == ExitCode.PIPE_CLOSED

        assert running.stderr is not None
        assert b"Traceback" not in running.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "expected", "message"),
    [
        (("run", "nosuch", "hi"), ExitCode.NOT_FOUND, "There is no agent 'nosuch'."),
        (("run", "demo", "hi", "--runtime", "defualt"), ExitCode.USAGE, "Did you mean 'default'?"),
        (("run", "demo", ""), ExitCode.USAGE, "at least 1 character"),
        (("run", "demo", "hi", "--api-key", "hf_wrong"), ExitCode.AUTH, "The API key is not valid."),
        (("run", "demo", "hi", "--api-url", "http://127.0.0.1:9"), ExitCode.UNREACHABLE, "connection refused"),
        (("agents", "create", "demo", "--model", "a/b"), ExitCode.CONFLICT, "another agent of this name"),
        (("agents", "update", "demo", "--description", "x", "--if-version", "9"), ExitCode.CONFLICT, "has version"),
        (("executions", "get", "0190a5a0-0000-7000-8000-000000000001"), ExitCode.NOT_FOUND, "There is no execution"),
    ],
)
def test_what_goes_wrong_has_its_exit_code_and_is_explained(
    cli: Cli, arguments: tuple[str, ...], expected: ExitCode, message: str
) -> None:
    done = cli(*arguments)

    assert (done.returncode, done.stdout) == (expected, "")
    assert message in done.stderr


def test_a_url_of_something_else_is_recognised(cli: Cli, stack: Stack) -> None:
    for port in (stack.ports["ui"], stack.ports["model"]):
        done = cli("agents", "list", "--api-url", f"http://127.0.0.1:{port}", "-o", "json")

        assert (done.returncode, json.loads(done.stderr)["code"]) == (ExitCode.UNREACHABLE, "not_an_api")


@pytest.mark.parametrize("group", ["agents", "templates", "executions", "sessions", "runtimes", "pools", "keys"])
def test_every_list_can_be_read(cli: Cli, group: str) -> None:
    done = cli(group, "list")

    heading, *rows = done.stdout.splitlines()
    assert done.returncode == ExitCode.OK
    assert heading.startswith(("ID ", "NAME ", "POOL "))
    assert rows
