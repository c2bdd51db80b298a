"""What commands that Claude Code runs can reach, and that they never outlive their worker."""

import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from runtimes.claude_code_directory import sweep
from runtimes.claude_code_sandbox import check
from runtimes.errors import RuntimeFailure, SandboxUnavailable
from runtimes.factory import RuntimeFactory
from runtimes.sandbox.command_line import Limits, program
from runtimes.types import Wire
from tests.runtimes.claude import SHELL, Durable, finished
from tests.runtimes.model_server import ModelServer
from tests.runtimes.sandboxes import needs_sandbox
from tests.runtimes.turns import Turns

TOKEN = "sk-attempt-5f1d8b"
SECRET = "worker-secret-77aa"
ROOT = Path(__file__).parents[2]
#: Processes that the turn below has started when it waits.
_SLEEPING = {"claude", "sleep"}
_TURN = """
import asyncio, sys
from pathlib import Path
from runtimes.factory import RuntimeFactory
from runtimes.types import Wire
from tests.runtimes.claude import SHELL, Durable
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Turns
url, workspace = sys.argv[1:]
server = ModelServer(url)
turn = Durable(Turns(RuntimeFactory(), "claude_code", server, server.endpoint(Wire.ANTHROPIC)), Path(workspace))
asyncio.run(turn.attempt('[[tool Bash {"command": "touch began; setsid sleep 1000 & sleep 1000"}]]', toolsets=SHELL))
"""


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)


@pytest.fixture
def turn(factory: RuntimeFactory, model: ModelServer, tmp_path: Path) -> Durable:
    return Durable(Turns(factory, "claude_code", model, model.endpoint(Wire.ANTHROPIC, TOKEN)), tmp_path)


async def bash(turn: Durable, command: str, **settings: object) -> str:
    """What the model reads of a command."""
    script = f'[[tool Bash {{"command": "{command}"}};; result]]'
    configuration = {"runtime_config": settings}
    events = await turn.attempt(script, toolsets=SHELL, configuration=configuration, network="network" in settings)
    return finished(events).response


@needs_sandbox
@pytest.mark.usefixtures("secret")
async def test_no_key_of_the_worker_can_be_read(turn: Durable) -> None:
    (turn.workspace / "found").write_text(f"{SECRET} {TOKEN}")
    places = "/home /tmp /run /etc /workspace /proc/[0-9]*/environ /proc/[0-9]*/cmdline"

    said = await bash(turn, f"env; grep -rlsa -e {SECRET[:-1]}[a] -e {TOKEN[:-1]}[b] {places} < /dev/null; echo done")

    assert SECRET not in said
    assert TOKEN not in said
    assert [line for line in said.splitlines() if line.startswith("/")] == ["/workspace/found"]
    assert said.endswith("done")


@needs_sandbox
@pytest.mark.parametrize(("most", "size"), [(None, "3000000"), (Limits(file_size_mb=1, memory_mb=8192), "1000000")])
async def test_the_operators_limits_are_above_the_cli_s_own(turn: Durable, most: Limits | None, size: str) -> None:
    script = '[[tool Bash {"command": "head -c 3000000 /dev/zero > big; stat -c %s big"};; result]]'

    said = finished(await turn.attempt(script, toolsets=SHELL, most=most)).response

    assert said.rpartition("\n")[2] == size


@needs_sandbox
async def test_the_machine_is_not_there(turn: Durable) -> None:
    said = await bash(turn, f"ls {ROOT} /root /var 2>&1 | sort; touch /usr/x 2>&1; ls -A /home; ps -e | wc -l")

    assert said.count("No such file or directory") == 3
    assert "Read-only file system" in said
    assert "\nagent\n" in said


@needs_sandbox
async def test_each_execution_has_a_home_of_its_own(turn: Durable) -> None:
    first = await bash(turn, "echo kept > ~/note; cat ~/note")
    second = await bash(Durable(turn.turns, turn.workspace), "cat ~/note 2>&1")

    assert first == "kept"
    assert "No such file" in second


@needs_sandbox
@pytest.mark.parametrize(("network", "expected"), [(False, "closed"), (True, "open")])
async def test_the_network_is_closed_unless_it_is_allowed(turn: Durable, network: bool, expected: str) -> None:
    assert turn.turns.model is not None
    port = turn.turns.model.url.rpartition(":")[2]

    said = await bash(
        turn, f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2> /dev/null && echo open || echo closed", network=network
    )

    assert said == expected


@needs_sandbox
def test_nothing_outlives_a_worker_that_is_killed(model: ModelServer, tmp_path: Path) -> None:
    before = set(directories())
    worker = subprocess.Popen([sys.executable, "-c", _TURN, model.url, str(tmp_path)], cwd=ROOT)
    for _ in range(1200):
        family = psutil.Process(worker.pid).children(recursive=True)
        if (tmp_path / "began").exists() and {process.name() for process in family} >= _SLEEPING:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the command never began")

    worker.kill()
    worker.wait()

    _, alive = psutil.wait_procs(family, timeout=2)
    assert alive == []
    assert set(directories()) - before == set()


_STARTING = """
import sys, time
from runtimes.claude_code_directory import private_directory
with private_directory() as directory:
    (directory / "model.sock").touch()
    print(directory, flush=True)
    time.sleep(1000)
"""


def test_what_a_worker_left_that_was_killed_at_the_start_is_swept_away_and_no_more() -> None:
    """Several workers start their turns on one machine: what they need is left alone."""
    with starting() as (killed, left), starting() as (_, used):
        killed.kill()
        killed.wait()

        sweep()

        assert not left.exists()
        assert (used / "model.sock").exists()
    sweep()
    assert not used.exists()


@contextmanager
def starting() -> Generator[tuple["subprocess.Popen[str]", Path]]:
    """A process that starts a turn, and the directory that it needs for that."""
    with subprocess.Popen([sys.executable, "-c", _STARTING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


async def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    program.cache_clear()

    with pytest.raises(SandboxUnavailable) as refused:
        await check()

    assert "apt-get install bubblewrap" in refused.value.hint


def directories() -> Iterator[Path]:
    """What turns keep outside of their workspaces."""
    return Path("/tmp").glob("holdfast-claude-*")


@needs_sandbox
async def test_its_commands_are_bounded_as_all_commands_are(turn: Durable) -> None:
    said = await bash(turn, "ulimit -Hc; ulimit -Hn; unshare -U true && echo free; ls /etc/ssl/private; id -u")

    assert said.split()[:2] == ["0", "1024"]
    assert "free" not in said
    assert "cannot access '/etc/ssl/private'" in said
    assert said.split()[-1] == "10001"


@needs_sandbox
async def test_a_bomb_ends_the_turn_and_nothing_else(turn: Durable) -> None:
    with pytest.raises(RuntimeFailure) as ended:
        await bash(turn, "for i in $(seq 400); do sleep 30 & done; wait")

    assert "it had more than 256 processes" in ended.value.message
