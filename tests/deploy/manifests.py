"""Kubernetes objects as `kubectl apply -k` would send them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.source import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
KUBECTL = shutil.which("kubectl")
#: What has a template for pods.
WORKLOADS = ("Deployment", "Job", "WorkerDeployment")

#: Where tests are relied on, what they need has to be there.
needs_kubectl = pytest.mark.skipif(
    KUBECTL is None and not os.environ.get("CI"), reason="kubectl, which puts the manifests together, is not here"
)

Object = dict[str, Any]


def buildable() -> Iterator[str]:
    """Every directory that can be applied by itself, as a path below deploy/kubernetes."""
    for file in sorted(KUBERNETES.rglob("kustomization.yaml")):
        if yaml.safe_load(file.read_text())["kind"] == "Kustomization":
            yield str(file.parent.relative_to(KUBERNETES))


@cache
def built(path: str) -> Sequence[Object]:
    """The objects of one directory."""
    assert KUBECTL is not None, "kubectl is not here, and tests in CI skip nothing"
    done = subprocess.run(
        [KUBECTL, "kustomize", KUBERNETES / path], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Those of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: Sequence[Object]) -> list[Object]:
    """The templates of all pods."""
    return [each["spec"]["template"] for each in of_kind(objects, *WORKLOADS)]


def name_of(each: Object) -> str:
    """Kind and name."""
    return f"{each['kind']}/{each['metadata']['name']}"


def path_of(*parts: str) -> Path:
    """A file below deploy/kubernetes."""
    return KUBERNETES.joinpath(*parts)
