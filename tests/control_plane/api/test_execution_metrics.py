"""What is counted of executions: from the journal for one of them, after the commit for all."""

from collections.abc import Callable
from typing import NoReturn
from uuid import UUID

import pytest

from control_plane.api.internal.service import turn_ledger
from control_plane.metrics import ApiMetrics, Load
from runtimes.turns import ExecutionEnd, FinishExecution
from services.control_plane_client.models import Step, StepKind, StepStatus
from tests.control_plane.installation import Installation


class Broken(Exception):
    """What a transaction ends with before its commit."""


def fail() -> NoReturn:
    raise Broken


async def finish(installation: Installation, execution: str, then: Callable[[], object] = str) -> None:
    """Record an execution's end; something happens before the commit."""
    state, owner = installation.state, installation.owner.id
    request = FinishExecution(organization_id=str(owner), end=ExecutionEnd.CANCELLED)
    async with turn_ledger(state.database, state.metrics, owner, UUID(execution)) as ledger:
        await ledger.finish(request)
        then()


def counted(installation: Installation) -> tuple[float, float]:
    """Attempts that were lost, and executions that ended."""
    samples = [sample for family in installation.state.metrics.registry.collect() for sample in family.samples]
    lost = sum(each.value for each in samples if each.name == "holdfast_attempts_lost_total")
    return lost, sum(each.value for each in samples if each.name == "holdfast_executions_ended_total")


async def test_the_seconds_of_model_calls_are_those_of_each_request(installation: Installation) -> None:
    turn = await installation.turn()
    timings = {StepStatus.FAILED: (2.0, 2.0), StepStatus.DONE: (9.5, 3.0)}
    steps = [
        Step(
            ordinal=ordinal,
            kind=StepKind.MODEL_CALL,
            status=status,
            name="scripted",
            timings={"total": total, "provider": provider},
        )
        for ordinal, (status, (total, provider)) in enumerate(timings.items(), start=1)
    ]
    await turn.step(*steps)

    answer = await installation.http.get(f"/api/v1/executions/{turn.execution['id']}/metrics")

    assert answer.json()["model_calls"]["seconds"] == 5.0


async def test_what_was_not_committed_is_not_counted(installation: Installation) -> None:
    execution = (await installation.turn()).execution["id"]

    with pytest.raises(Broken):
        await finish(installation, execution, fail)
    before = counted(installation)
    await finish(installation, execution)

    assert before == (0, 0)
    assert counted(installation) == (1, 1)
    await finish(installation, execution)
    assert counted(installation) == (1, 1)


def test_the_counter_of_lost_attempts_begins_at_0_with_a_runtimes_first_execution() -> None:
    metrics = ApiMetrics()

    metrics.show(Load(executions={("running", "native", "native"): 1.0}))

    assert metrics.registry.get_sample_value("holdfast_attempts_lost_total", {"runtime": "native"}) == 0
