"""Another program at one of the stack's ports: it is never taken for ours, and gets no key."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from control_plane.local.directory import DataDirectory
from control_plane.local.ports import is_free
from control_plane.local.state import read_state
from tests.control_plane.local.foreign_server import ForeignServer, serving
from tests.control_plane.local.stack_at_work import StackAtWork, until
from tests.stack import free_port

pytestmark = pytest.mark.timeout(300)


@contextmanager
def _taking(stack: StackAtWork, use: str) -> Generator[list[ForeignServer]]:
    """Takes a port of the stack as soon as the stack has chosen it, before its own process listens there."""
    taken: list[ForeignServer] = []
    over = threading.Event()

    def take() -> None:
        until(lambda: read_state(DataDirectory(stack.directory).state) is not None)
        state = read_state(DataDirectory(stack.directory).state)
        assert state is not None
        with serving(getattr(state.ports, use)) as server:
            taken.append(server)
            over.wait()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()


@pytest.fixture
def stack(tmp_path: Path) -> Generator[StackAtWork]:
    stack = StackAtWork(tmp_path / "data")
    yield stack
    stack("down")


def test_a_port_that_another_program_takes_during_the_start_is_replaced(stack: StackAtWork) -> None:
    port = free_port()

    with _taking(stack, "api") as taken:
        started = stack.up("--port", str(port), "--temporal-port", str(free_port()), "--ui-port", str(free_port()))
        ran = stack("run", "demo", "hello")

    assert taken
    assert taken[0].keys == []
    assert f"another program has port {port}" in started.stderr
    assert stack.json("status")["ports"]["api"] != port
    assert ran.returncode == 0, ran.stderr


def test_a_stack_whose_api_lost_its_port_gives_the_other_program_no_key(stack: StackAtWork) -> None:
    port = free_port()
    stack.up("--port", str(port), "--temporal-port", str(free_port()), "--ui-port", str(free_port()))

    with _in_place_of_the_api(stack, port) as server:
        until(lambda: any(path.startswith("/health/identity") for path, _ in server.requests))
        asked = stack("run", "demo", "hello")
        examined = stack("doctor")
        phase = stack.process("api")["phase"]

    assert server.keys == []
    assert phase != "ready"
    assert asked.returncode != 0
    assert "cannot prove that it is our API" in asked.stderr
    assert "cannot prove that it is our API" in examined.stdout
    until(lambda: stack.process("api")["phase"] == "ready")
    assert stack("run", "demo", "hello").returncode == 0


@contextmanager
def _in_place_of_the_api(stack: StackAtWork, port: int) -> Generator[ForeignServer]:
    """Kills the API while its supervisor sleeps, and takes its port before the supervisor starts it again."""
    supervisor = psutil.Process(stack.json("status")["supervisor"]["pid"])
    api = psutil.Process(stack.process("api")["identity"]["pid"])
    supervisor.suspend()
    try:
        api.kill()
        until(lambda: is_free(port))
        with serving(port) as server:
            supervisor.resume()
            yield server
    finally:
        supervisor.resume()
