"""`kill -9` of the worker at ten points of a turn, under every runtime: nothing is paid or done twice.

The model repeats itself when it is asked again, or never says the same twice.
"""

import pytest

from tests.faults.field import HEARTBEAT_TIMEOUT, Field
from tests.faults.kill_points import KILL_POINTS, KillPoint
from tests.faults.matrix import Wording, shoot
from tests.faults.report import Report

pytestmark = pytest.mark.timeout(600)

#: What lies between a missed heartbeat and the first work of the heir, in seconds, on a busy machine.
MARGIN = 10.0


@pytest.mark.parametrize("wording", Wording, ids=lambda wording: wording.replace(" ", "-"))
@pytest.mark.parametrize("point", KILL_POINTS.values(), ids=str)
async def test_a_kill_repeats_no_call_and_no_effect(
    field: Field, point: KillPoint, wording: Wording, report: Report
) -> None:
    cell = await shoot(field, point, wording)
    report.cells.append(cell)

    assert cell.problem == ""
    assert cell.calls_made - cell.calls_needed in (0, 1)
    assert cell.most_per_effect <= 1
    assert cell.effects_needed - cell.effects_made in ((0, 1) if point.uncertain else (0,))
    assert cell.resumed_after is None or cell.resumed_after < HEARTBEAT_TIMEOUT + MARGIN
