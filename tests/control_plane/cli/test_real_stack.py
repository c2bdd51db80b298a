"""The command against the real stack."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import HOLDFAST, Cli, read_until
from tests.stack import Stack

#: Says a word and then nothing more, until somebody ends it.
ENDLESS = "[[say first;; hang]]"


@pytest.fixture
def cli(stack: Stack, tmp_path: Path) -> Cli:
    return Cli(tmp_path, stack.api_url, stack.api_key)


@pytest.fixture
async def agent(stack: Stack, request: pytest.FixtureRequest) -> str:
    """An agent of the test's own, so that its executions can be told from others."""
    name = request.node.name.replace("_", "-")
    await stack.agent(name)
    return name


def _execution_of(cli: Cli, agent: str) -> str:
    (execution,) = cli.json("executions", "list", "--agent", agent)["items"]
    return execution["id"]


def _waiting(cli: Cli, agent: str) -> str:
    """An interactive execution that has given its first answer."""
    done = cli("run", agent, "[[say one]]", "-i", "-o", "json")
    assert done.returncode == ExitCode.PARTIAL
    return json.loads(done.stdout)["id"]


def _until_running_turn(cli: Cli, execution: str, turn: int) -> None:
    with cli.started("executions", "logs", "-f", execution, "-o", "jsonl") as following:
        read_until(following.stdout, b'"attempt.started"')
        while (shown := cli.json("executions", "get", execution))["turn"] < turn or shown["status"] != "running":
            assert following.poll() is None


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
    assert done.stderr.endswith("Write the agent's model_id as provider/model.\n")


def test_a_cancelled_execution_ends_with_eight(cli: Cli, agent: str) -> None:
    with cli.started("run", agent, ENDLESS) as running:
        read_until(running.stdout, b"first")

        asked = cli("executions", "cancel", _execution_of(cli, agent))
        _, said = running.communicate(timeout=60)

    assert (asked.returncode, asked.stderr) == (ExitCode.OK, "The execution is being cancelled.\n")
    assert running.returncode == ExitCode.CANCELLED
    assert "cancelled · " in said.decode()


def test_ctrl_c_with_nobody_to_ask_leaves_the_execution_running(cli: Cli, agent: str) -> None:
    with cli.started("run", agent, ENDLESS) as running:
        read_until(running.stdout, b"first")

        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)

    execution = _execution_of(cli, agent)
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


@pytest.mark.parametrize("group", ["agents", "executions", "sessions", "runtimes", "pools", "keys"])
def test_every_list_can_be_read(cli: Cli, group: str) -> None:
    done = cli(group, "list")

    heading, *rows = done.stdout.splitlines()
    assert done.returncode == ExitCode.OK
    assert heading.startswith(("ID ", "NAME ", "POOL "))
    assert rows


def test_a_key_can_do_what_it_was_made_for_until_it_is_revoked(cli: Cli) -> None:
    key = cli.json("keys", "create", "reader", "--scope", "read", "--days", "1")
    reader = Cli(cli.directory, cli.url, key["key"])

    outcomes = [
        reader("agents", "list").returncode,
        reader("run", "demo", "hi").returncode,
        cli("keys", "revoke", key["id"]).returncode,
        reader("agents", "list").returncode,
    ]

    assert outcomes == [ExitCode.OK, ExitCode.AUTH, ExitCode.OK, ExitCode.AUTH]


def test_a_session_can_be_read_and_deleted(cli: Cli) -> None:
    session = cli.json("run", "demo", "[[say hello]]")["session_id"]

    messages = cli("sessions", "messages", session, "-o", "jsonl")
    deleted = cli("sessions", "delete", session)

    assert [json.loads(line)["content"] for line in messages.stdout.splitlines()] == ["[[say hello]]", "hello"]
    assert (deleted.returncode, cli("sessions", "get", session).returncode) == (ExitCode.OK, ExitCode.NOT_FOUND)


def test_detached_it_prints_the_id_and_the_result_can_be_fetched(cli: Cli) -> None:
    started = cli("run", "demo", "[[say later]]", "--detach")

    fetched = cli("executions", "result", started.stdout.strip(), "--wait", "60")

    assert (fetched.returncode, fetched.stdout) == (ExitCode.OK, "later\n")


def test_the_same_idempotency_key_gives_the_same_execution(cli: Cli) -> None:
    ids = {cli("run", "demo", "[[say x]]", "-d", "--idempotency-key", "cli-once").stdout for _ in range(2)}

    assert len(ids) == 1


def test_logs_begin_after_the_event_that_is_named(cli: Cli) -> None:
    execution = cli.json("run", "demo", "[[say hello]]")["execution_id"]
    whole = cli("executions", "logs", execution).stdout.splitlines()

    rest = cli("executions", "logs", execution, "--after", "3", "--follow")

    assert (rest.returncode, rest.stdout.splitlines()) == (ExitCode.OK, whole[3:])


def test_an_open_execution_is_sent_to_interrupted_and_closed(cli: Cli, agent: str) -> None:
    execution = _waiting(cli, agent)

    sent = cli("executions", "send", execution, ENDLESS)
    _until_running_turn(cli, execution, 2)
    interrupted = cli("executions", "interrupt", execution)
    closed = cli("executions", "close", execution)
    result = cli("executions", "result", execution, "--wait", "60", "-o", "json")

    assert [done.returncode for done in (sent, interrupted, closed, result)] == [ExitCode.OK] * 4
    assert json.loads(result.stdout)["finish_reason"] == "interrupted"


def test_an_open_execution_has_no_result_yet_and_that_is_said(cli: Cli, agent: str) -> None:
    with cli.started("run", agent, "[[say one]]", "-i") as running:
        answer, said = running.communicate(timeout=60)
    execution = _execution_of(cli, agent)
    asked = cli("executions", "result", execution)
    cli("executions", "close", execution)

    assert (running.returncode, asked.returncode) == (ExitCode.PARTIAL, ExitCode.PARTIAL)
    assert answer == b"one\n"
    assert f"holdfast executions close {execution}" in said.decode()


def test_a_dialogue_on_a_terminal_goes_on_until_an_empty_line(cli: Cli) -> None:
    talk = _Dialogue(cli, "run", "demo", "[[say one]]", "-i")

    talk.hear(b"an empty line ends the execution.")
    talk.hear(b"> ")
    talk.say(b"[[say two]]\n")
    talk.hear(b"two\r\n")
    talk.hear(b"> ")
    talk.say(b"\n")

    assert b"completed" in talk.hear(b" execution ")
    assert talk.end() == ExitCode.OK


def test_a_question_answered_with_no_deletes_nothing(cli: Cli) -> None:
    talk = _Dialogue(cli, "agents", "delete", "demo")

    talk.hear(b"Delete the agent demo? [y/N]: ")
    talk.say(b"n\n")

    talk.hear(b"Nothing was deleted.")
    assert talk.end() == ExitCode.CANCELLED
    assert cli("agents", "get", "demo").returncode == ExitCode.OK


class _Dialogue:
    """A command on a terminal."""

    def __init__(self, cli: Cli, *arguments: str) -> None:
        terminal, end = pty.openpty()
        environment: dict[str, Any] = cli.environment | {"NO_COLOR": "1"}
        self._process = subprocess.Popen(
            [HOLDFAST, *arguments], stdin=end, stdout=end, stderr=end, cwd=cli.directory, env=environment
        )
        os.close(end)
        self._heard = b""
        self._terminal = os.fdopen(terminal, "r+b", buffering=0)

    def hear(self, text: bytes) -> bytes:
        """Wait for a text; gives what came before it."""
        while text not in self._heard:
            self._heard += os.read(self._terminal.fileno(), 1024)
        before, _, self._heard = self._heard.partition(text)
        return before

    def say(self, text: bytes) -> None:
        """Type."""
        self._terminal.write(text)

    def end(self) -> int:
        """Wait for the end; gives the exit code."""
        code = self._process.wait(60)
        self._terminal.close()
        return code
