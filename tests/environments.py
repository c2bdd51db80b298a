"""Runtimes whose frameworks cannot live in the tests' own environment, and where they do live."""

import os
from collections.abc import Mapping
from pathlib import Path
from unittest import SkipTest

#: The directories of environments by runtime; `make` targets of the same names make them.
ELSEWHERE: Mapping[str, Path] = {"crewai": Path(__file__).parent.parent / ".venvs" / "crewai"}


def is_here(runtime: str) -> bool:
    """Whether a runtime's framework is installed here, in an environment of its own where it needs one."""
    return runtime not in ELSEWHERE or (ELSEWHERE[runtime] / "bin" / "holdfast").exists()


def holdfast_of(runtime: str) -> Path:
    """The `holdfast` of a runtime's environment; without it the test is skipped, and fails in CI."""
    found = ELSEWHERE[runtime] / "bin" / "holdfast"
    if not is_here(runtime):
        told = f"The runtime '{runtime}' has no environment here: make {runtime}"
        raise AssertionError(told) if os.environ.get("CI") else SkipTest(told)
    return found


def python_of(runtime: str) -> Path:
    """The Python of a runtime's environment."""
    return holdfast_of(runtime).with_name("python")
