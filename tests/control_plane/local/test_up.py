"""`holdfast up` for real: what a person gets, what it survives, what it leaves."""

import json
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from control_plane.local.directory import DataDirectory
from control_plane.local.state import running_stack
from tests.control_plane.cli.conftest import read_until
from tests.control_plane.local.stack_at_work import HOLDFAST, StackAtWork, gone, until
from tests.stack import TERMINAL, free_port

pytestmark = pytest.mark.timeout(300)

SECRET = "sk-only-for-the-runtime-worker"
LONG = "[[emit 60 @20;; say end]]"
WHOLE = " ".join(f"tok{number}" for number in range(1, 61)) + " end"
#: No other run's user, nor one that a killed run left behind.
USER = f"holdfast-test-{os.getpid()}"
#: Another user, who may pass through closed directories: the interpreter is often somebody's own.
AS_USER = ("--clear-groups", "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The scripted model in the part of a provider that wants a key."""
    port = free_port()
    with subprocess.Popen([HOLDFAST, "scripted-model", "--port", str(port)], stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


@pytest.fixture(scope="module")
def shared(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAtWork]:
    environment = {
        "OPENAI_API_KEY": SECRET,
        "OPENAI_BASE_URL": model,
        "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "3",
    }
    stack = StackAtWork(tmp_path_factory.mktemp("up") / "data", environment)
    try:
        stack.up(*_free_ports())
        yield stack
    finally:
        stack("down")


@pytest.fixture
def local(shared: StackAtWork) -> StackAtWork:
    """The stack, running whatever the test before did to it."""
    if running_stack(DataDirectory(shared.directory)) is None:
        shared.up()
    return shared


@pytest.fixture
def ordinary() -> Iterator[StackAtWork]:
    """A stack of somebody who is not root: of ours, or of a user made for the test and removed after it."""
    with tempfile.TemporaryDirectory(prefix="holdfast-", ignore_cleanup_errors=True) as home:
        if os.geteuid() != 0:
            yield StackAtWork(Path(home) / "data")
            return
        if not (shutil.which("useradd") and shutil.which("setpriv")):
            pytest.skip("as root this needs useradd and setpriv")
        subprocess.run(["useradd", "--no-create-home", USER], check=True, capture_output=True)
        try:
            yield _of_user(pwd.getpwnam(USER), Path(home))
        finally:
            subprocess.run(["userdel", USER], check=True, capture_output=True)


def _of_user(user: pwd.struct_passwd, home: Path) -> StackAtWork:
    os.chown(home, user.pw_uid, user.pw_gid)
    prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", *AS_USER)
    if subprocess.run([*prefix, sys.executable, "-c", ""], capture_output=True, check=False).returncode != 0:
        pytest.skip("another user cannot reach this interpreter")
    return StackAtWork(home / "data", {"HOME": str(home)}, prefix)


def _free_ports() -> list[str]:
    return [part for flag in ("--port", "--temporal-port", "--ui-port") for part in (flag, str(free_port()))]


def _streaming(local: StackAtWork) -> str:
    """An execution whose answer is on its way."""
    started = local("run", "demo", LONG, "--detach")
    assert started.returncode == 0, started.stderr
    execution = started.stdout.strip()
    until(lambda: local.json("executions", "get", execution)["attempt"] == 1)
    return execution


def _assert_ended_once(local: StackAtWork, execution: str) -> None:
    result = local("executions", "result", execution, "--wait", "90")
    assert (result.returncode, result.stdout) == (0, WHOLE + "\n"), result.stderr
    log = local("executions", "logs", execution, "-o", "jsonl").stdout.splitlines()
    types = [json.loads(line)["type"] for line in log]
    assert [one for one in types if one.removeprefix("execution.") in TERMINAL] == ["execution.completed"]


@pytest.mark.parametrize("options", [(), ("-d",)])
def test_a_second_up_says_that_it_runs_and_where(local: StackAtWork, options: tuple[str, ...]) -> None:
    again = local("up", *options)

    urls = re.findall(r"http://\S+", again.stdout)
    assert again.returncode == 0
    assert again.stderr.startswith("Already running, pid ")
    assert len(urls) == 3
    assert all(httpx.get(url, trust_env=False, follow_redirects=True).status_code < 500 for url in urls)


def test_workers_are_started_before_the_api_that_they_wait_for(local: StackAtWork) -> None:
    created = {one["name"]: one["identity"]["created"] for one in local.json("status")["processes"]}

    assert max(created["workflow-worker"], created["runtime-worker"]) < created["api"]


def test_the_first_thing_to_try_works(local: StackAtWork) -> None:
    (command,) = re.findall(r"^Try:  holdfast (.*)$", local("up", "-d").stderr, re.MULTILINE)

    done = local(*shlex.split(command))

    assert done.returncode == 0
    assert "hello" in done.stdout


def test_where_no_model_is_known_the_first_thing_to_try_is_an_agent(tmp_path: Path) -> None:
    stack = StackAtWork(tmp_path / "data", {"HOLDFAST_PROVIDERS__OURS__BASE_URL": "http://127.0.0.1:9/v1"})
    try:
        said = stack.up(*_free_ports()).stderr
    finally:
        stack("down")

    assert "No agent was made: no configured provider lists its models." in said
    assert "Try:  holdfast agents create demo --model PROVIDER/MODEL" in said


def test_status_and_doctor_find_everything_well(local: StackAtWork) -> None:
    status = local.json("status")
    found = local.json("doctor")["checks"]

    checks = {check["id"]: check["status"] for check in found}
    assert all(check.keys() == {"id", "status", "detail", "fix"} for check in found)
    assert (status["phase"], {process["phase"] for process in status["processes"]}) == ("running", {"ready"})
    assert checks.keys() >= {"stack", "api", "api_key", "database", "database_role", "temporal", "workers", "clock"}
    assert "fail" not in checks.values()


def test_doctor_says_what_is_wrong_and_how_to_mend_it(local: StackAtWork) -> None:
    credentials = local.directory / "credentials.toml"

    credentials.chmod(0o644)
    done = local("doctor", "-o", "jsonl")
    credentials.chmod(0o600)

    (wrong,) = [check for check in map(json.loads, done.stdout.splitlines()) if check["status"] == "fail"]
    assert (done.returncode, wrong["id"], wrong["fix"]) == (1, "data_dir", f"chmod 600 {credentials}")


def test_a_lost_key_for_secrets_is_told_by_up_and_by_doctor(local: StackAtWork, tmp_path: Path) -> None:
    path, value = local.directory / "secrets.key", tmp_path / "value"
    value.write_text("hidden")
    assert local("secrets", "set", "LOST", "--from-file", str(value)).returncode == 0
    key = path.read_text()
    local("down")
    try:
        path.write_text("garbage")
        garbage = local("up")
        path.unlink()
        up = local.up()
        doctor = json.loads(local("doctor", "-o", "json").stdout)
    finally:
        local("down")
        path.write_text(key)
    local.up()

    assert (garbage.returncode, str(path) in garbage.stderr) == (6, True), garbage.stderr
    assert "HOLDFAST_SECRETS_KEY" not in garbage.stderr
    assert f"cannot be opened: {path} lacks the key of id" in up.stderr
    assert {check["id"] for check in doctor["checks"] if check["status"] == "fail"} == {"secrets"}
    assert local("secrets", "delete", "LOST", "--yes").returncode == 0
    assert "fail" not in {check["status"] for check in local.json("doctor")["checks"]}


def test_nothing_listens_beyond_loopback(local: StackAtWork) -> None:
    sockets = [one for process in local.processes() for one in process.net_connections("inet")]

    open_to = {one.laddr.ip for one in sockets if one.status in {psutil.CONN_LISTEN, psutil.CONN_NONE}}
    assert open_to == {"127.0.0.1"}


def test_the_providers_keys_are_known_to_the_runtime_worker_only(local: StackAtWork) -> None:
    started = {one["name"]: one["identity"]["pid"] for one in local.json("status")["processes"]}

    told = {name for name, pid in started.items() if SECRET in str(psutil.Process(pid).environ())}

    assert told == {"runtime-worker"}
    files = [path for path in local.directory.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("victim", ["runtime-worker", "api", "temporal", "postgres"])
def test_what_is_killed_is_started_again_and_the_execution_ends_once(local: StackAtWork, victim: str) -> None:
    execution = _streaming(local)

    local.kill(victim)

    _assert_ended_once(local, execution)


def test_after_kill_nine_of_everything_two_ups_at_once_are_one_beside_a_port_that_was_taken(local: StackAtWork) -> None:
    execution = _streaming(local)
    port = local.json("status")["ports"]["api"]
    processes = local.processes()

    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: all(map(gone, processes)))
    crashed = local("status").returncode
    with socket.create_server(("127.0.0.1", port)):
        again = local.up_twice()

    assert crashed == 3
    assert [one.returncode for one in again] == [0, 0], again
    assert len({one.stdout for one in again}) == 1
    said = again[0].stderr + again[1].stderr
    assert f"Port {port} (api) is taken: using {local.json('status')['ports']['api']}." in said
    _assert_ended_once(local, execution)


def test_down_lets_a_running_turn_end_and_leaves_no_process(local: StackAtWork) -> None:
    execution = _streaming(local)
    processes = local.processes()

    down = local("down")
    again = local("down")
    left = [process for process in processes if not gone(process)]

    assert (down.returncode, down.stderr) == (0, "Stopped; the data stays.\n")
    assert (again.returncode, again.stderr) == (0, "The local stack is not running.\n")
    assert left == []
    local.up()
    _assert_ended_once(local, execution)
    assert local.json("executions", "get", execution)["attempt"] == 1


def test_reset_stops_a_running_stack_and_deletes_its_data_where_that_is_confirmed(local: StackAtWork) -> None:
    processes = local.processes()

    refused = local("reset")
    running = local("status").returncode
    done = local("reset", "--yes")

    assert (refused.returncode, running, done.returncode) == (2, 0, 0), done.stderr
    assert [process for process in processes if not gone(process)] == []
    assert list(local.directory.iterdir()) == []


def test_a_worker_finds_the_stack_of_its_data_directory(local: StackAtWork) -> None:
    with local.started("worker", "--pool", "native") as worker:
        read_until(worker.stderr, b"Joins the local stack")
        until(lambda: local.json("runtimes", "show", "native")["live"])
        local.json("agents", "create", "by-hand", "--runtime", "native", "--model", "openai/scripted")
        answered = local("run", "by-hand", "[[say found]]")

    assert answered.stdout == "found\n", answered.stderr


def test_in_the_background_of_a_shell_it_still_ends_by_sigint_and_outlives_a_terminal_by_nohup(tmp_path: Path) -> None:
    stack = StackAtWork(tmp_path / "data")
    with stack.foreground(*_free_ports(), ignored=(signal.SIGINT, signal.SIGHUP)) as up:
        read_until(up.stderr, b"Ctrl-C stops everything")
        up.send_signal(signal.SIGHUP)
        answer = stack("run", "demo", "hello")
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=60)

    assert (answer.returncode, up.returncode) == (0, 0), answer.stderr
    assert b"Stopped in" in said


def test_an_ordinary_user_can_run_it_in_the_foreground_until_ctrl_c(ordinary: StackAtWork) -> None:
    with ordinary.foreground(*_free_ports()) as up:
        read_until(up.stderr, b"Ctrl-C stops everything")
        processes = ordinary.processes()
        users = {process.uids().effective for process in processes}
        answer = ordinary("run", "demo", "hello")
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=60)

    assert (answer.returncode, up.returncode) == (0, 0)
    assert "scripted model" in answer.stdout
    assert 0 not in users
    assert b"Stopped in" in said
    assert all(map(gone, processes))
