"""A worker's reports of an attempt, as the control plane gets them."""

import asyncio
from collections.abc import Sequence

import pytest

from runtimes.errors import AttemptFenced, RuntimeFailure
from services.control_plane_client.models import AppendEvents, AttemptEnd, CloseAttempt, NewEvent, Step, StepKind
from services.control_plane_client.models import StepStatus as Status
from services.event_publisher import EventPublisher


class SlowLog:
    """Takes a moment for each append, and lets `meanwhile` happen in the first of them that has a step."""

    def __init__(self) -> None:
        self.appended: list[AppendEvents] = []
        self.meanwhile = asyncio.Event()

    async def append(self, execution_id: str, attempt: int, request: AppendEvents) -> None:
        self.appended.append(request)
        self.meanwhile.set()
        await asyncio.sleep(0.05)


def _publisher(log: SlowLog) -> EventPublisher:
    return EventPublisher(log, organization_id="o", execution_id="e", attempt=1, interval=0.01, failed=_ignore, told=())


def _ignore(failure: RuntimeFailure) -> None:
    """Nothing fails here."""


def _close(batch: int, events: Sequence[NewEvent]) -> CloseAttempt:
    return CloseAttempt(organization_id="o", batch=batch, end=AttemptEnd.INTERRUPTED, events=list(events))


def _done(ordinal: int) -> tuple[Step, list[NewEvent]]:
    step = Step(ordinal=ordinal, kind=StepKind.TOOL_CALL, status=Status.DONE, key=str(ordinal))
    return step, [NewEvent(type="tool.completed", data={"tool_call_id": str(ordinal)})]


async def test_a_result_that_comes_while_the_close_is_prepared_goes_with_its_step() -> None:
    log = SlowLog()
    publisher = _publisher(log)
    first = asyncio.create_task(publisher.write(*_done(1)))
    await log.meanwhile.wait()

    closing = asyncio.create_task(publisher.close(_close))
    second = asyncio.create_task(publisher.write(*_done(2)))
    await asyncio.sleep(0.07)
    third = asyncio.create_task(publisher.write(*_done(3)))
    close = await closing

    await asyncio.gather(first, second, third)
    assert [step.ordinal for request in log.appended for step in request.steps] == [1, 2, 3]
    assert close.events == []


async def test_a_result_that_comes_after_the_close_is_not_sent() -> None:
    log = SlowLog()
    publisher = _publisher(log)
    await publisher.close(_close)

    with pytest.raises(AttemptFenced):
        await publisher.write(*_done(1))

    await publisher.stop()
    assert log.appended == []
