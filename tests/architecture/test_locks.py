"""The lock file of each runtime is what its extra asks for, out of the one resolution that all share."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from packaging.requirements import Requirement

from runtimes.manifests.known import KNOWN
from tests.architecture.source import ROOT

PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==(\S+)(?: ; .*)? \\$", re.MULTILINE)
RUNTIMES = [name for name, manifest in KNOWN.items() if manifest.extra]
LOCKED = ["control_plane", *RUNTIMES]


def lock(runtime: str) -> str:
    return (ROOT / "locks" / f"{runtime}.txt").read_text()


def requirements(runtime: str) -> Iterator[Requirement]:
    """What Holdfast needs here, with the runtime's extra; the control plane has none."""
    extras: Mapping[str, list[str]] = PROJECT["optional-dependencies"]
    listed: list[str] = [*PROJECT["dependencies"]]
    if runtime in KNOWN:
        listed += extras[KNOWN[runtime].extra]
    for text in listed:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            yield requirement


@pytest.mark.parametrize("runtime", LOCKED)
def test_a_lock_has_all_that_the_extra_asks_for(runtime: str) -> None:
    pinned = {name.lower(): version for name, version in PINNED.findall(lock(runtime))}

    unmet = [str(each) for each in requirements(runtime) if not met(each, pinned)]

    assert unmet == [], "make locks"


@pytest.mark.parametrize("runtime", LOCKED)
def test_a_lock_has_the_versions_of_the_common_lock_with_hashes(runtime: str) -> None:
    common = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    known = {(package["name"], package.get("version")) for package in common}

    pinned = PINNED.findall(lock(runtime))

    assert {found for found in pinned if found not in known} == set(), "make locks"
    assert lock(runtime).count("--hash=sha256:") >= len(pinned) > 20


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_framework_has_a_floor_and_a_cap(runtime: str) -> None:
    extra = [Requirement(text) for text in PROJECT["optional-dependencies"][KNOWN[runtime].extra]]

    operators = {each.name: {specifier.operator for specifier in each.specifier} for each in extra}

    assert {name: found for name, found in operators.items() if found not in ({">=", "<"}, {"=="})} == {}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_lock_lets_agents_use_mcp_servers(runtime: str) -> None:
    assert "mcp" in {name for name, _ in PINNED.findall(lock(runtime))}


def met(requirement: Requirement, pinned: Mapping[str, str]) -> bool:
    version = pinned.get(requirement.name.lower().replace("_", "-"))
    return version is not None and requirement.specifier.contains(version)
