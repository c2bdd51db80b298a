"""The end of an attempt: steps, calls and approvals that were open get an end too, in log and journal."""

from typing import Any

import pytest

from runtimes.turns import ExecutionEnd, FinishExecution
from services.control_plane_client.models import AttemptEnd, NewEvent, Step, StepKind, StepStatus
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Turn
from tests.invariants import open_calls

#: What becomes of each step, by its key.
ENDS = {"": "unknown", "pay": "unknown", "look": "cancelled", "done": "done"}


@pytest.fixture
async def turn(installation: Installation) -> Turn:
    """A turn in which a model call and two tool calls are under way, and a human is asked."""
    turn = await installation.turn()
    asked = Step(ordinal=1, kind=StepKind.MODEL_CALL, status=StepStatus.CLAIMED, name="gpt")
    calls = [
        Step(ordinal=2, kind=StepKind.TOOL_CALL, status=StepStatus.CLAIMED, key="pay", effect="at_most_once"),
        Step(ordinal=3, kind=StepKind.TOOL_CALL, status=StepStatus.CLAIMED, key="look", effect="read_only"),
    ]
    done = Step(ordinal=4, kind=StepKind.TOOL_CALL, status=StepStatus.DONE, key="done", response={"text": "x"})
    begun = [NewEvent(type="tool.started", data={"tool_call_id": call.key}) for call in calls]
    await turn.tell(begun, asked, *calls, done)
    await turn.ask()
    return turn


async def _opened_again(turn: Turn) -> None:
    await turn.retry()


async def _failed(turn: Turn) -> None:
    await turn.close(AttemptEnd.FAILED)


async def _interrupted(turn: Turn) -> None:
    await turn.close(AttemptEnd.INTERRUPTED)


async def _finished(turn: Turn) -> None:
    await turn.finish(FinishExecution(organization_id=str(turn.owner.id), end=ExecutionEnd.CANCELLED))


@pytest.mark.parametrize("over", [_opened_again, _failed, _interrupted, _finished])
async def test_what_was_under_way_ends_with_its_attempt(installation: Installation, turn: Turn, over: Any) -> None:
    await over(turn)

    steps = (await turn.read("steps"))["items"]
    events = await installation.log(turn.execution["id"])
    assert {step["key"]: step["status"] for step in steps} == ENDS
    assert all(step["ended_at"] for step in steps)
    assert list(open_calls(events)) == []
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    ended = [
        event["data"]["tool_call_id"]
        for event in events
        if event["type"].startswith("tool.") and "name" in event["data"]
    ]
    assert sorted(ended) == ["look", "pay"]


@pytest.mark.parametrize(("over", "told"), [(_interrupted, 1), (_finished, 1), (_failed, 0), (_opened_again, 0)])
async def test_an_approval_that_nobody_needs_any_more_is_told_to_be_withdrawn(
    installation: Installation, turn: Turn, over: Any, told: int
) -> None:
    await over(turn)

    withdrawn = [
        event for event in await installation.log(turn.execution["id"]) if event["type"] == "approval.withdrawn"
    ]
    assert [event["data"]["approval_id"] for event in withdrawn] == turn.waits[:told]


async def test_what_is_over_ends_once(installation: Installation, turn: Turn) -> None:
    await turn.close(AttemptEnd.PREEMPTED)
    await turn.open()
    await turn.close(AttemptEnd.FAILED)

    assert list(open_calls(await installation.log(turn.execution["id"]))) == []


@pytest.mark.parametrize("end", [AttemptEnd.FAILED, AttemptEnd.PREEMPTED, AttemptEnd.SUSPENDED, AttemptEnd.INTERRUPTED])
@pytest.mark.parametrize("interactive", [False, True])
async def test_a_result_that_comes_after_the_end_is_refused(
    installation: Installation, end: AttemptEnd, interactive: bool
) -> None:
    turn = await installation.turn(interactive=interactive)
    call = Step(ordinal=1, kind=StepKind.TOOL_CALL, status=StepStatus.CLAIMED, key="pay", effect="at_most_once")
    await turn.tell([NewEvent(type="tool.started", data={"tool_call_id": "pay"})], call)
    await turn.close(end)

    done = call.model_copy(update={"status": StepStatus.DONE, "response": {"text": "paid"}})

    with pytest.raises(AssertionError, match="attempt_fenced"):
        await turn.tell([NewEvent(type="tool.completed", data={"tool_call_id": "pay"})], done)

    assert list(open_calls(await installation.log(turn.execution["id"]))) == []
    assert [step["status"] for step in (await turn.read("steps"))["items"]] == ["unknown"]


CHILD = Step(ordinal=1, kind=StepKind.TOOL_CALL, status=StepStatus.CLAIMED, key="ask", name="run_agent")
BEGUN = NewEvent(type="tool.started", data={"tool_call_id": "ask", "name": "run_agent"})
ENDED = NewEvent(type="tool.completed", data={"tool_call_id": "ask", "name": "run_agent"})


@pytest.fixture
async def waiting(installation: Installation) -> Turn:
    """A turn that is suspended in a call."""
    turn = await installation.turn()
    await turn.tell([BEGUN], CHILD.model_copy(update={"effect": "idempotent"}))
    await turn.suspend("child")
    return turn


async def _answered(turn: Turn) -> None:
    opened = await turn.open()
    (step,) = [Step.model_validate(step) for step in opened["steps"]]
    assert step.status is StepStatus.CLAIMED
    done = step.model_copy(update={"status": StepStatus.DONE, "response": {"text": "x"}})
    await turn.tell([ENDED], done)
    await turn.close(AttemptEnd.COMPLETED)


async def _answered_after_a_loss(turn: Turn) -> None:
    await turn.open()
    await turn.retry()
    await turn.close(AttemptEnd.FAILED)
    await _answered(turn)


async def _lost_in_the_call(turn: Turn) -> None:
    opened = await turn.open()
    (step,) = [Step.model_validate(step) for step in opened["steps"]]
    await turn.step(step)
    await turn.retry()
    await turn.close(AttemptEnd.COMPLETED)


async def _asked_no_more(turn: Turn) -> None:
    await turn.open()
    await turn.close(AttemptEnd.COMPLETED)


@pytest.mark.parametrize(
    ("goes_on", "end"),
    [
        (_answered, "completed"),
        (_answered_after_a_loss, "completed"),
        (_lost_in_the_call, "cancelled"),
        (_asked_no_more, "cancelled"),
        (_interrupted, "cancelled"),
        (_finished, "cancelled"),
    ],
)
async def test_a_call_that_waits_ends_with_its_result_or_its_turn(
    installation: Installation, waiting: Turn, goes_on: Any, end: str
) -> None:
    (step,) = (await waiting.read("steps"))["items"]
    if goes_on is _interrupted:
        await waiting.open()
    await goes_on(waiting)

    events = await installation.log(waiting.execution["id"])
    assert (step["status"], step["ended_at"]) == ("claimed", None)
    assert [event["type"] for event in events if event["type"].startswith("tool.")] == ["tool.started", f"tool.{end}"]
    assert list(open_calls(events)) == []
    assert [step["status"] for step in (await waiting.read("steps"))["items"]] != ["claimed"]
    attempts = [event["attempt"] for event in events if event["attempt"] is not None]
    assert attempts == sorted(attempts)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
