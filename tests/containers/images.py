"""The images that the tests run: ours, as `make images` builds them, on a base that needs no registry."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from runtimes.manifests.known import KNOWN
from tests.architecture.source import ROOT
from tests.containers.engine import CACHE, DockerMissing

IMAGES = ("control-plane", *(f"worker-{name.replace('_', '-')}" for name in sorted(KNOWN) if KNOWN[name].extra))
TAG = "test"
SUITE = "bookworm"
PACKAGES = "ca-certificates,python3,python3-venv"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
#: How this machine reaches packages.
PASSED_ON = ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
#: What Debian's installer leaves in /var.
FETCHED = ("cache/apt/archives/*.deb", "cache/apt/*.bin", "lib/apt/lists/*")
HERE = Path(__file__).parent


@cache
def built(image: str) -> str:
    """Build one of our images; gives its name."""
    run("make", "--no-print-directory", image, f"BASE={base()}", f"TAG={TAG}")
    return f"holdfast-{image}:{TAG}"


@cache
def witness(target: str) -> str:
    """PostgreSQL or Temporal: the image that HOLDFAST_TEST_<TARGET>_IMAGE names, else one made of PyPI's packages."""
    if named := os.environ.get(f"HOLDFAST_TEST_{target.upper()}_IMAGE"):
        return named
    return derived(target, "Dockerfile", f"--target={target}", f"--build-arg=BASE={base()}")


def derived(name: str, file: str, *options: str) -> str:
    """Build an image of the tests' own; gives its name."""
    tag = f"holdfast-test-{name}:{TAG}"
    run("docker", "build", "--quiet", "--file", str(HERE / file), *options, "--tag", tag, str(HERE / "context"))
    return tag


@cache
def base() -> str:
    """The image that HOLDFAST_TEST_BASE_IMAGE names, else Debian with Python, made here.

    Raises:
        DockerMissing: there is none, and none can be made.
    """
    if named := os.environ.get("HOLDFAST_TEST_BASE_IMAGE"):
        return named
    trusted = BUNDLE.read_bytes() if BUNDLE.exists() else b""
    digest = hashlib.sha256(f"{SUITE} {PACKAGES} ".encode() + trusted).hexdigest()[:16]
    tag = f"holdfast-test-base:{digest}"
    if subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False).returncode:
        _import(_archive(CACHE / f"base-{digest}.tar"), tag)
    return tag


def _import(archive: Path, tag: str) -> None:
    """pip in the base trusts whom this machine trusts."""
    settings = {"PIP_CERT": str(BUNDLE), "SSL_CERT_FILE": str(BUNDLE)}
    settings |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    changes = (f"--change=ENV {name}={value}" for name, value in settings.items())
    run("docker", "import", *changes, str(archive), tag)


def _archive(archive: Path) -> Path:
    if archive.exists():
        return archive
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise DockerMissing("a base image takes root and debootstrap, or its name in HOLDFAST_TEST_BASE_IMAGE")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hf-base-", dir=CACHE) as place:
        root, partial = Path(place, "root"), Path(place, "tar")
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root))
        if BUNDLE.exists():
            shutil.copyfile(BUNDLE, root / BUNDLE.relative_to("/"))
        left_out = (f"--exclude=./var/{name}" for name in FETCHED)
        run("tar", "--create", "--file", str(partial), "--directory", str(root), *left_out, ".")
        partial.rename(archive)
    return archive


def run(*command: str) -> str:
    """What a command says; its last lines are in the error if it fails."""
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0, "\n".join([" ".join(command), *(ran.stdout + ran.stderr).splitlines()[-30:]])
    return ran.stdout.strip()
