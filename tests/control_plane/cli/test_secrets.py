"""`holdfast secrets …` against the real stack."""

from pathlib import Path
from uuid import uuid4

import pytest

from control_plane.cli.failures import ExitCode
from tests.control_plane.cli.conftest import Cli
from tests.control_plane.cli.dialogue import talking

CANARY = "canary-cli-40c2"


@pytest.fixture
def name() -> str:
    return f"CLI_{uuid4().hex[:8]}"


def test_a_secret_comes_from_stdin_or_a_file_and_is_listed_without_its_value(
    cli: Cli, name: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{CANARY}\n")

    first = cli("secrets", "set", name, stdin=f"{CANARY}\n")
    second = cli("secrets", "set", name, "--from-file", str(tmp_path / "token"))
    listed = cli("secrets", "list")
    deleted = cli("secrets", "delete", name)

    assert [done.returncode for done in (first, second, listed, deleted)] == [ExitCode.OK] * 4
    assert f"{name}  2" in listed.stdout
    assert not [done for done in (first, second, listed) if CANARY in done.stdout + done.stderr]
    assert cli("secrets", "delete", name).returncode == ExitCode.NOT_FOUND


def test_on_a_terminal_it_is_asked_for_and_not_echoed(cli: Cli, name: str) -> None:
    with talking(cli, "secrets", "set", name) as talk:
        talk.hear(f"Value of {name}: ".encode())
        talk.say(CANARY.encode() + b"\n")
        heard = talk.hear(b"version")

        assert talk.end() == ExitCode.OK
    assert CANARY.encode() not in (heard or b"")


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_an_empty_value_is_refused(cli: Cli, name: str, stdin: str) -> None:
    done = cli("secrets", "set", name, stdin=stdin)

    assert done.returncode == ExitCode.USAGE
    assert "The value is empty." in done.stderr


def test_a_value_is_no_argument(cli: Cli, name: str) -> None:
    assert cli("secrets", "set", name, CANARY, stdin="x").returncode == ExitCode.USAGE


def test_one_that_is_in_use_is_not_deleted(cli: Cli, name: str, tmp_path: Path) -> None:
    cli("secrets", "set", name, stdin="x")
    agent = f"cli-{uuid4().hex[:8]}"
    (tmp_path / "agent.json").write_text(
        f'{{"name": "{agent}", "model_id": "scripted/scripted", "toolsets": [{{"type": "mcp", "servers":'
        f' {{"s": {{"command": ["server"], "env": {{"T": {{"secret": "{name}"}}}}}}}}}}]}}'
    )
    made = cli("agents", "create", "--file", str(tmp_path / "agent.json"))

    refused = cli("secrets", "delete", name)

    assert made.returncode == ExitCode.OK, made.stderr
    assert refused.returncode == ExitCode.CONFLICT
    assert f"agent {agent}" in refused.stderr
