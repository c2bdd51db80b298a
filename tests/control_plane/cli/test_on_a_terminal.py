"""The command on a terminal: it asks, and does as it is told."""

import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import ENDLESS, Cli, execution_of
from tests.control_plane.cli.dialogue import CTRL_C, CTRL_D, talking


@pytest.mark.parametrize("answer", [b"d\n", CTRL_C])
def test_ctrl_c_asks_and_whatever_is_not_cancel_leaves_the_execution_running(
    cli: Cli, agent: str, answer: bytes
) -> None:
    with talking(cli, "run", agent, ENDLESS) as talk:
        talk.hear(b"first")
        talk.say(CTRL_C)
        talk.hear(b"Detach and let it run, or cancel it? [d/c] ")
        talk.say(answer)
        talk.hear(b"holdfast executions cancel ")
        code = talk.end()

    execution = execution_of(cli, agent)
    status = cli.json("executions", "get", execution)["status"]
    cli("executions", "cancel", execution)
    assert (code, status) == (ExitCode.INTERRUPTED, "running")


def test_ctrl_c_cancels_on_request(cli: Cli, agent: str) -> None:
    with talking(cli, "run", agent, ENDLESS) as talk:
        talk.hear(b"first")
        talk.say(CTRL_C)
        talk.hear(b"[d/c] ")
        talk.say(b"c\n")
        talk.hear(b"cancelled \xc2\xb7 ")

        assert talk.end() == ExitCode.CANCELLED

    assert cli.json("executions", "get", execution_of(cli, agent))["status"] == "cancelled"


def test_ctrl_c_in_a_dialogue_cancels_it_and_asks_for_no_further_message(cli: Cli) -> None:
    with talking(cli, "run", "demo", "[[say one]]", "-i") as talk:
        talk.hear(b"> ")
        talk.say(ENDLESS.encode() + b"\n")
        talk.hear(b"\nfirst")
        talk.say(CTRL_C)
        talk.hear(b"[d/c] ")
        talk.say(b"c\n")
        talk.hear(b"cancelled \xc2\xb7 ")

        assert talk.end() == ExitCode.CANCELLED


def test_what_ended_while_the_question_stood_is_shown_to_its_end(cli: Cli, agent: str) -> None:
    with talking(cli, "run", agent, "[[emit 30 @20;; say end]]") as talk:
        talk.hear(b"tok3")
        talk.say(CTRL_C)
        talk.hear(b"[d/c] ")
        cli("executions", "result", execution_of(cli, agent), "--wait", "60")
        talk.say(b"c\n")
        talk.hear(b"The execution has ended: completed.")
        talk.hear(b"tok30 end")
        talk.hear(b"completed \xc2\xb7 ")

        assert talk.end() == ExitCode.OK


def test_a_dialogue_goes_on_until_an_empty_line(cli: Cli) -> None:
    with talking(cli, "run", "demo", "[[say one]]", "-i") as talk:
        talk.hear(b"an empty line ends the execution.")
        talk.hear(b"> ")
        talk.say("[[say grüße]]\n".encode())
        talk.hear("grüße\r\n".encode())
        talk.hear(b"> ")
        talk.say(b"\n")
        talk.hear(b"completed \xc2\xb7 ")

        assert talk.end() == ExitCode.OK


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_a_dialogue_is_ended_where_a_message_is_asked_for(cli: Cli, key: bytes) -> None:
    with talking(cli, "run", "demo", "[[say one]]", "-i") as talk:
        talk.hear(b"> ")
        talk.say(key)
        talk.hear(b"completed \xc2\xb7 ")

        assert talk.end() == ExitCode.OK


def test_a_question_answered_with_no_deletes_nothing(cli: Cli) -> None:
    with talking(cli, "agents", "delete", "demo") as talk:
        talk.hear(b"Delete the agent demo? [y/N]: ")
        talk.say(b"n\n")
        talk.hear(b"Nothing was deleted.")

        assert talk.end() == ExitCode.CANCELLED

    assert cli("agents", "get", "demo").returncode == ExitCode.OK
