"""A model that was asked again words its calls anew; what may be done once only is not done again for that."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from runtimes.types import Effect, ToolResult
from services.completions import ENDED
from services.control_plane_client.models import Decision, Step, StepKind, StepStatus
from services.tools.desk import TurnDesk, UnknownOutcome
from services.turn_control import QuestionKind
from tests.services.tools.desks import Remembering, desk_of
from tests.services.tools.test_desk import Till


def answer(*calls: str) -> dict[str, Any]:
    return {"body": {"calls": [{"id": call} for call in calls]}}


async def paid(*more: str) -> tuple[Till, list[Step]]:
    """A call `c1` that an attempt has made, after an answer that asks for it and for `more`."""
    till, memory = Till(), Remembering()
    desk = desk_of(memory)
    model = desk.journal.begin(StepKind.MODEL_CALL, hash="of what nobody asks any more")
    done = model.model_copy(update={"status": StepStatus.DONE, "response": answer("c1", *more)})
    await desk.journal.write(done)
    await till.call(desk, "c1")
    return till, list(memory.steps.values())


def second(memory: Remembering, recorded: Sequence[Step], *new: str, **more: Any) -> TurnDesk:
    """An attempt that gets a new answer, which asks for the calls `new`."""
    desk = desk_of(memory, attempt=recorded[-1].attempt + 1, recorded=recorded, **more)
    desk.journal.answered(answer(*new), is_new=True)
    return desk


async def test_a_call_in_other_words_is_held_back_and_the_model_told() -> None:
    till, recorded = await paid()
    memory = Remembering()

    result = await till.call(second(memory, recorded, "c2"), "c2", total=6)

    assert result.is_error
    assert '{"sum":5}' in result.text
    assert "paid 5" in result.text
    assert len(till.keys) == 1
    assert memory.types == ["tool.not_repeated", "tool.completed"]
    assert memory.events[0].data == {"tool_call_id": "c2", "name": "pay", "earlier": "c1"}


async def test_a_model_that_insists_gets_its_call() -> None:
    till, recorded = await paid()
    memory = Remembering()
    desk = second(memory, recorded, "c2", "c3")
    await till.call(desk, "c2", total=6)

    result = await till.call(desk, "c3", total=6)

    assert result == ToolResult("paid 6")


async def test_a_later_attempt_holds_no_other_call_back_for_the_same_one() -> None:
    till, recorded = await paid()
    memory = Remembering()
    await till.call(second(memory, recorded, "c2"), "c2", total=6)

    after = second(Remembering(), [*recorded, *memory.steps.values()], "c3")

    assert await till.call(after, "c3", total=7) == ToolResult("paid 7")


@pytest.mark.parametrize("known", ["in a request", "in a replayed answer"])
async def test_a_conversation_that_knows_of_the_call_may_have_another(known: str) -> None:
    till, recorded = await paid()
    desk = second(Remembering(), recorded, "c2")
    if known == "in a request":
        desk.journal.asked(b'{"messages": [{"tool_call_id": "c1"}]}')
    else:
        desk.journal.answered(recorded[0].response, is_new=False)

    assert await till.call(desk, "c2", total=6) == ToolResult("paid 6")


async def test_another_call_of_the_same_answer_is_no_repetition() -> None:
    till, recorded = await paid("c2")
    desk = desk_of(Remembering(), attempt=2, recorded=recorded)

    assert await till.call(desk, "c2", total=6) == ToolResult("paid 6")


@pytest.mark.parametrize("effect", [Effect.READ_ONLY, Effect.IDEMPOTENT])
async def test_what_may_be_done_again_is_done_again(effect: Effect) -> None:
    till, recorded = await paid()

    result = await till.call(second(Remembering(), recorded, "c2"), "c2", total=6, effect=effect)

    assert result == ToolResult("paid 6")


async def test_of_a_lost_call_nothing_is_known() -> None:
    till, recorded = await paid()
    lost = recorded[-1].model_copy(update={"status": StepStatus.CLAIMED, "response": None})
    memory = Remembering()

    result = await till.call(second(memory, [recorded[0], lost], "c2"), "c2", total=6)

    assert "It is not known whether it was done." in result.text
    assert memory.types == ["tool.unknown", "tool.not_repeated", "tool.completed"]
    assert memory.steps[lost.ordinal].status is StepStatus.UNKNOWN


async def test_a_human_decides_where_the_agent_says_so() -> None:
    till, recorded = await paid()
    memory = Remembering()
    waiting = asyncio.create_task(
        till.call(second(memory, recorded, "c2", unknown=UnknownOutcome.ASK_HUMAN), "c2", total=6)
    )
    await asyncio.sleep(0.05)
    waiting.cancel()
    (question,) = memory.asked
    approved = Decision(id=uuid4(), kind=question.kind, key=question.key, digest=question.digest, status="approved")

    again = second(Remembering(), recorded, "c2", unknown=UnknownOutcome.ASK_HUMAN, decisions=[approved])

    assert question.kind is QuestionKind.OUTCOME_UNKNOWN
    assert await till.call(again, "c2", total=6) == ToolResult("paid 6")
    assert len(till.keys) == 2


async def test_results_come_in_the_order_in_which_they_came() -> None:
    till, memory = Till(), Remembering()
    desk, came = desk_of(memory), list[str]()
    for name in ("first", "second", "third"):
        await till.call(desk, name)
    order = {"first": 3.0, "second": 1.0, "third": 2.0}
    recorded = [step.model_copy(update={"timings": {ENDED: order[step.key]}}) for step in memory.steps.values()]
    again = desk_of(Remembering(), attempt=2, recorded=recorded)

    async def call(name: str) -> None:
        await till.call(again, name)
        came.append(name)

    await asyncio.gather(*map(call, order))

    assert came == ["second", "third", "first"]


async def test_a_result_waits_for_no_call_that_nobody_makes() -> None:
    till, memory = Till(), Remembering()
    await asyncio.gather(*(till.call(desk, call) for desk in [desk_of(memory)] for call in ("first", "second")))
    again = desk_of(Remembering(), attempt=2, recorded=list(memory.steps.values()))

    async with asyncio.timeout(1):
        assert await till.call(again, "second") == ToolResult("paid 5")
