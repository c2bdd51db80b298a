"""Commands on executions, sessions, agents and keys of the real stack."""

import json

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import ENDLESS, Cli, execution_of, read_until


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
    execution = execution_of(cli, agent)
    asked = cli("executions", "result", execution)
    cli("executions", "close", execution)

    assert (running.returncode, asked.returncode) == (ExitCode.PARTIAL, ExitCode.PARTIAL)
    assert answer == b"one\n"
    assert f"holdfast executions close {execution}" in said.decode()


def test_the_log_of_a_running_execution_is_followed_to_its_end(cli: Cli, agent: str) -> None:
    execution = cli("run", agent, ENDLESS, "--detach").stdout.strip()
    with cli.started("executions", "logs", "-f", execution, "--after", "1") as following:
        begin = read_until(following.stdout, b"attempt.started")

        cli("executions", "cancel", execution)
        rest, _ = following.communicate(timeout=60)

    numbers = [int(line.split()[0]) for line in (begin + rest).splitlines()]
    assert numbers == list(range(2, numbers[-1] + 1))
    assert rest.splitlines()[-1].endswith(b"execution.cancelled")
    assert following.returncode == ExitCode.OK


def test_executions_are_found_by_what_they_are(cli: Cli, agent: str) -> None:
    execution = _waiting(cli, agent)
    session = cli.json("executions", "get", execution)["session_id"]
    filters = (("--status", "waiting"), ("--session", session), ("--runtime", "default"), ("--status", "failed"))

    found = [cli.json("executions", "list", "--agent", agent, *one)["items"] for one in filters]

    cli("executions", "close", execution)
    assert [[item["id"] for item in items] for items in found] == [[execution]] * 3 + [[]]


def test_an_agent_is_made_changed_and_deleted(cli: Cli) -> None:
    made = cli.json("agents", "create", "poet", "--model", "scripted/scripted", "--system-prompt", "In verse.")
    changed = cli.json("agents", "update", "poet", "--description", "writes", "--if-version", str(made["version"]))
    shown = cli("agents", "get", "poet")
    deleted = cli("agents", "delete", "poet")
    gone = cli("run", "poet", "hi")

    assert (changed["version"], changed["system_prompt"]) == (made["version"] + 1, "In verse.")
    assert [line.split()[1:] for line in shown.stdout.splitlines() if line.startswith("description ")] == [["writes"]]
    assert (deleted.returncode, gone.returncode) == (ExitCode.OK, ExitCode.NOT_FOUND)


def test_a_runtime_tells_what_it_can_do(cli: Cli) -> None:
    runtime = cli.json("runtimes", "show", "default")

    assert runtime["live"] is True
    assert {"streaming", "tools"} <= set(runtime["capabilities"])
