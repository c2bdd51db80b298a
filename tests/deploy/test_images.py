"""The images: one of the control plane, and one of a worker for each runtime."""

import re

from runtimes.manifests.known import KNOWN
from tests.architecture.source import ROOT

DOCKERFILE = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
RUNTIMES = sorted(name for name in KNOWN if KNOWN[name].extra)


def stage(name: str) -> str:
    """What a stage does."""
    return DOCKERFILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]


def test_every_runtime_has_an_image_that_is_built_from_its_lock() -> None:
    for name in RUNTIMES:
        image = name.replace("_", "-")
        assert f"COPY --from=packages-{image} /opt/holdfast /opt/holdfast" in stage(f"worker-{image}")
        assert f'CMD ["worker", "--pool", "{name}"]' in stage(f"worker-{image}")
        assert f"COPY locks/{name}.txt lock.txt" in stage(f"packages-{image}")


def test_make_builds_every_image() -> None:
    (listed,) = re.findall(r"^IMAGES := control-plane \$\(patsubst %,worker-%,(.*)\)$", makefile(), re.MULTILINE)

    assert sorted(listed.split()) == sorted(name.replace("_", "-") for name in RUNTIMES)


def test_packages_come_from_locks_with_hashes_and_are_not_built() -> None:
    installs = re.findall(r"^RUN \$INSTALL (.*)$", DOCKERFILE, re.MULTILINE)

    locked = "--require-hashes --only-binary :all: -r lock.txt"
    assert installs == [locked, "--no-deps ./*.whl"] * (len(RUNTIMES) + 1)


def test_nothing_runs_as_root() -> None:
    users = re.findall(r"^USER (.*)$", stage("base") + stage("worker"), re.MULTILINE)

    assert users == ["10001:10001", "root", "10001:10001"]
    assert 'ENTRYPOINT ["/usr/bin/tini", "--", "holdfast"]' in stage("base")


def makefile() -> str:
    """How they are built."""
    return (ROOT / "Makefile").read_text()
