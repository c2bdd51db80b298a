"""Docker for the tests: the engine that answers, else one of this run's own."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

#: Kept from run to run: layers of images, and the base image.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast"
#: The second one works wherever the first cannot start, and copies every layer whole.
DRIVERS = ("overlay2", "vfs")
START_SECONDS = 60.0


class DockerMissing(Exception):
    """There is no Docker, and none can be started; the message says why."""


@contextmanager
def docker() -> Generator[None]:
    """An engine that answers at DOCKER_HOST as long as this lasts.

    Raises:
        DockerMissing: there is none.
    """
    if not (problem := why_silent()):
        yield
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise DockerMissing(f"{problem}; to start one here takes root and dockerd")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (
        (CACHE / "docker.lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="hf-docker-", ignore_cleanup_errors=True) as place,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _own_engine(Path(place)):
            yield


def why_silent() -> str:
    """What keeps Docker from answering; empty if it answers."""
    if shutil.which("docker") is None:
        return "the command docker is not here"
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False, timeout=60)
    return asked.stderr.strip() if asked.returncode else ""


@contextmanager
def _own_engine(place: Path) -> Generator[None]:
    with _docker_host(f"unix://{place}/socket"):
        engine = _started(place)
        try:
            yield
        finally:
            engine.terminate()
            engine.wait(60)


@contextmanager
def _docker_host(address: str) -> Generator[None]:
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = address
    try:
        yield
    finally:
        os.environ.pop("DOCKER_HOST")
        if before is not None:
            os.environ["DOCKER_HOST"] = before


def _started(place: Path) -> "subprocess.Popen[bytes]":
    for driver in DRIVERS:
        engine = _start(place, driver)
        deadline = time.monotonic() + START_SECONDS
        while engine.poll() is None and time.monotonic() < deadline:
            if not why_silent():
                return engine
            time.sleep(0.2)
        engine.kill()
        engine.wait()
    last = (place / "log").read_text(errors="replace").strip().splitlines()[-1:]
    raise DockerMissing(f"dockerd does not start here: {' '.join(last)}")


def _start(place: Path, driver: str) -> "subprocess.Popen[bytes]":
    command = ["dockerd", "--storage-driver", driver, "--data-root", str(CACHE / "docker")]
    command += ["--exec-root", str(place / "exec"), "--pidfile", str(place / "pid"), "--host", f"unix://{place}/socket"]
    with (place / "log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
