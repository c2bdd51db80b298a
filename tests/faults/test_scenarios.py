"""Frozen, drained and cut-off workers, and everything around them going away, under every runtime."""

import time

import pytest

from tests.faults import report as reports
from tests.faults.checker import check_stack
from tests.faults.field import Field
from tests.faults.scenarios import SCENARIOS

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_every_promise_is_kept(field: Field, name: str, report: reports.Report) -> None:
    entry = reports.Scenario(field.pool, name, 0.0, problem="it did not end")
    report.scenarios.append(entry)
    began = time.monotonic()

    try:
        await SCENARIOS[name](field)
        await check_stack(field)
        entry.problem = ""
    except AssertionError as broken:
        entry.problem = str(broken)
        raise
    finally:
        entry.seconds = time.monotonic() - began
