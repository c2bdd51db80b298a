"""Processes that are looked after: real ones, small."""

import asyncio
import io
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from control_plane.local.child import Child, PortTaken, Service, ServiceFailed
from control_plane.local.processes import find, identify
from control_plane.local.progress import Progress
from control_plane.local.state import ProcessIdentity, ProcessPhase

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)


def _service(log: Path, command: tuple[str, ...] = SLEEPER) -> Service:
    async def ready(pid: int, started_at: datetime) -> bool:
        return log.exists() and "up" in log.read_text()

    environment = dict(os.environ)
    return Service("sleeper", "Sleeper", command, environment, log, ready, start_tries=2)


@asynccontextmanager
async def _started(service: Service, said: io.StringIO) -> AsyncGenerator[Child]:
    child = Child(service, Progress(said), lambda: None)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def _pid(child: Child) -> int:
    assert child.state.identity is not None
    return child.state.identity.pid


async def test_a_killed_process_is_started_again_and_that_is_said(tmp_path: Path) -> None:
    said = io.StringIO()

    async with _started(_service(tmp_path / "log"), said) as child:
        first = _pid(child)
        os.kill(first, signal.SIGKILL)
        await _until(lambda: child.state.restarts == 1 and child.state.phase is ProcessPhase.READY)
        second = _pid(child)

    assert first != second
    assert "Sleeper was ended by SIGKILL. Starting it again in 0.5 s." in said.getvalue()


async def test_a_stopped_process_is_gone_and_stays_gone(tmp_path: Path) -> None:
    async with _started(_service(tmp_path / "log"), io.StringIO()) as child:
        pid = _pid(child)

    assert not psutil.pid_exists(pid)
    assert child.state.phase is ProcessPhase.STOPPED


async def test_a_process_that_ignores_the_request_is_killed_in_time(tmp_path: Path) -> None:
    said = io.StringIO()
    service = replace(_service(tmp_path / "log", STUBBORN), stop_seconds=0.3)

    async with _started(service, said) as child:
        pid = _pid(child)

    assert not psutil.pid_exists(pid)
    assert "did not stop" in said.getvalue()


async def test_a_process_that_cannot_start_is_explained_by_its_log(tmp_path: Path) -> None:
    service = _service(tmp_path / "log", (sys.executable, "-c", "raise SystemExit('no config')"))

    with pytest.raises(ServiceFailed, match=r"(?s)Sleeper ended with exit code 1.*no config"):
        await Child(service, Progress(io.StringIO()), lambda: None).start()


async def test_a_process_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    async def never(pid: int, started_at: datetime) -> bool:
        pids.append(pid)
        return False

    pids: list[int] = []
    service = replace(_service(tmp_path / "log"), ready=never, start_seconds=0.1)

    with pytest.raises(ServiceFailed, match="was not ready"):
        await Child(service, Progress(io.StringIO()), lambda: None).start()

    assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children with their parent on Linux only")
async def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; sys.path.insert(0, '.')\n"
        "from tests.control_plane.local.test_child import _service, _started, _pid; import io\n"
        "async def main():\n"
        "    async with _started(_service(Path(sys.argv[1])), io.StringIO()) as child:\n"
        "        print(_pid(child), flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    assert supervisor.stdout is not None
    child = int(await supervisor.stdout.readline())

    supervisor.kill()
    await supervisor.wait()

    await _until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_process_is_known_by_more_than_its_number() -> None:
    mine = identify(os.getpid())
    assert mine is not None

    assert find(mine) is not None
    assert find(ProcessIdentity(pid=mine.pid, created=mine.created - 60)) is None


async def test_a_process_that_has_exited_is_never_ready_whoever_answers_in_its_place(tmp_path: Path) -> None:
    async def answered(pid: int, started_at: datetime) -> bool:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait()
        return True

    service = replace(_service(tmp_path / "log", (sys.executable, "-c", "exit(3)")), ready=answered)

    with pytest.raises(ServiceFailed, match="Sleeper ended with exit code 3"):
        await Child(service, Progress(io.StringIO()), lambda: None).start()


async def test_a_process_without_its_port_is_not_ready_and_the_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        taking = f"import socket; print('up', flush=True); socket.create_server(('127.0.0.1', {port}))"
        service = replace(_service(tmp_path / "log", (sys.executable, "-c", taking)), ports=(port,))

        with pytest.raises(PortTaken, match=f"another program has port {port}"):
            await Child(service, Progress(io.StringIO()), lambda: None).start()
