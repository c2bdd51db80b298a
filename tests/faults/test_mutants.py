"""The suite notices when a promise is not kept: each of five broken variants is caught by a scenario."""

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.faults.field import Field
from tests.faults.kill_points import KILL_POINTS
from tests.faults.matrix import shoot
from tests.faults.scenarios import (
    Scenario,
    drained_in_a_tool,
    frozen_before_a_claim,
    uncommitted_tool_call,
    undisturbed,
)

pytestmark = [pytest.mark.timeout(600), pytest.mark.whole]


async def _killed_during_the_last_message(field: Field) -> None:
    cell = await shoot(field, KILL_POINTS["during the last message"])
    assert cell.problem == ""


def _api(_: Field) -> Sequence[str]:
    return ("api",)


def _workers(field: Field) -> Sequence[str]:
    return field.workers


@pytest.mark.parametrize(
    ("mutant", "processes", "scenario", "caught"),
    [
        ("no_fence", _api, frozen_before_a_claim, "I"),
        ("no_journal_lookup", _workers, _killed_during_the_last_message, "I4"),
        ("no_memory", _workers, _killed_during_the_last_message, "I5"),
        ("commit_after_release", _workers, uncommitted_tool_call, "I4|not committed"),
        ("skipped_number", _api, undisturbed, "I3"),
        ("swallowed_cancellation", _workers, drained_in_a_tool, "not let go|preempted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_broken_variant_is_caught(
    mutant_field: Field,
    mutant: str,
    processes: Callable[[Field], Sequence[str]],
    scenario: Scenario,
    caught: str,
) -> None:
    async with _broken(mutant_field, mutant, processes(mutant_field)):
        with pytest.raises((AssertionError, TimeoutError), match=caught):
            await scenario(mutant_field)


@asynccontextmanager
async def _broken(field: Field, mutant: str, names: Sequence[str]) -> AsyncGenerator[None]:
    """Run some processes as a mutant for a while."""
    await field.recover()
    whole = {name: field.processes[name].command for name in names}
    for name in names:
        field.processes[name].kill()
        field.processes[name].command = (sys.executable, "-m", "tests.faults.mutants", mutant, *whole[name][1:])
    try:
        yield
    finally:
        for name in names:
            field.processes[name].resume()
            field.processes[name].kill()
            field.processes[name].command = whole[name]
