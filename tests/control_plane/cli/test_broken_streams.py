"""`holdfast run` while something that it depends on dies, or is not there."""

import json
import signal
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest

from control_plane.cli.failures import ExitCode
from tests.conftest import NewStack
from tests.control_plane.cli.conftest import Cli, read_until
from tests.stack import Stack

LONG = "[[emit 60 @20;; say end]]"
#: The same, slow enough for two more commands to start meanwhile.
LONGER = "[[emit 60 @7;; say end]]"
WHOLE = " ".join(f"tok{number}" for number in range(1, 61)) + " end"


@pytest.fixture(scope="module")
async def victim(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack() as stack:
        yield stack


@pytest.fixture
async def cli(victim: Stack, tmp_path: Path) -> Cli:
    await victim.until(victim.is_ready)
    return Cli(tmp_path, victim.api_url, victim.api_key)


def _newest(cli: Cli) -> str:
    return cli.json("executions", "list", "--limit", "1")["items"][0]["id"]


def _until_connected(process: subprocess.Popen[bytes], port: int) -> None:
    connections = psutil.Process(process.pid).net_connections
    while not any(one.raddr and one.raddr.port == port for one in connections("tcp")):
        assert process.poll() is None


def test_an_api_that_is_killed_in_mid_stream_costs_no_character(victim: Stack, cli: Cli) -> None:
    api = victim.processes["api"]
    with cli.started("run", "demo", LONGER) as running:
        begin = read_until(running.stdout, b"tok5")
        with cli.started("executions", "logs", "-f", _newest(cli), "-o", "jsonl") as logging:
            first = read_until(logging.stdout, b"message.delta")
            api.kill()
            api.start()
            rest, said = running.communicate(timeout=100)
            events, _ = logging.communicate(timeout=100)

    stored = json.loads(cli("executions", "result", _newest(cli), "-o", "json").stdout)["response"]
    assert (begin + rest).decode() == stored + "\n" == WHOLE + "\n"
    assert running.returncode == ExitCode.OK
    assert "The connection broke: going on where it stopped." in said.decode()
    ids = [json.loads(line)["id"] for line in (first + events).splitlines()]
    numbered = [int(one) for one in ids if "." not in one]
    assert numbered == list(range(1, numbered[-1] + 1))
    assert len(set(ids)) == len(ids)


def test_a_result_is_waited_for_across_a_restart_of_the_api(victim: Stack, cli: Cli) -> None:
    api = victim.processes["api"]
    execution = cli("run", "demo", "[[emit 60 @10;; say end]]", "-d").stdout.strip()
    with cli.started("executions", "result", execution, "--wait", "90") as waiting:
        _until_connected(waiting, victim.ports["api"])
        api.kill()
        api.start()
        answer, _ = waiting.communicate(timeout=100)

    assert (waiting.returncode, answer.decode()) == (ExitCode.OK, WHOLE + "\n")


def test_a_killed_worker_is_told_of_and_the_answer_begins_anew(victim: Stack, cli: Cli) -> None:
    worker = victim.processes["default"]
    with cli.started("run", "demo", LONG) as running:
        begin = read_until(running.stdout, b"tok5")
        worker.kill()
        worker.start()
        rest, said = running.communicate(timeout=100)

    lines = (begin + rest).decode().splitlines()
    assert (running.returncode, lines[-1]) == (ExitCode.OK, WHOLE)
    assert len(lines) == 2
    assert WHOLE.startswith(lines[0])
    assert "attempt 2: the answer starts again" in said.decode().splitlines()


def test_a_runtime_that_no_worker_serves_is_said_to_be_the_reason_for_waiting(cli: Cli) -> None:
    with cli.started("run", "demo", "hi", "--runtime", "scripted") as running:
        said = read_until(running.stderr, b"holdfast worker --pool scripted")
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)

    cancelled = cli("executions", "cancel", _newest(cli))
    assert "no live worker serves the runtime 'scripted'" in said.decode().lower()
    assert (running.returncode, cancelled.returncode) == (ExitCode.INTERRUPTED, ExitCode.OK)
