"""Claims and commits of tool calls: what happens to a call that happened before."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest

from runtimes.errors import BudgetExceeded
from runtimes.types import Effect, ToolResult, Usage
from services.budget import Limits
from services.control_plane_client.models import Decision, NewEvent, Step, StepStatus
from services.tools.desk import TurnDesk, UnknownOutcome
from services.tools.gateway import ToolGateway
from services.tools.spec import ApprovalRule, Call, ToolSpec
from services.turn_control import QuestionKind
from tests.services.tools.desks import Remembering, desk_of


class Till:
    """A tool with an effect that can be counted."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def pay(self, arguments: Mapping[str, Any], call: Call) -> str:
        self.keys.append(call.idempotency_key)
        return f"paid {arguments['sum']}"

    async def call(self, desk: TurnDesk, call_id: str = "c1", total: int = 5, **fields: Any) -> ToolResult:
        spec = ToolSpec("pay", "", {"type": "object", "required": ["sum"]}, self.pay, **fields)
        (tool,) = ToolGateway([spec], desk).tools()
        return await tool.call(call_id, {"sum": total})


async def first_attempt(till: Till, *, lost_at: Literal["effect", "commit"], **fields: Any) -> list[Step]:
    """The journal that an attempt leaves behind which ends before its call's effect, or before its commit."""
    memory = Remembering()
    await till.call(desk_of(memory), **fields)
    if lost_at == "effect":
        till.keys.clear()
    return [step.model_copy(update={"status": StepStatus.CLAIMED, "response": None}) for step in memory.steps.values()]


async def test_a_call_is_claimed_before_it_runs_and_committed_after() -> None:
    till, memory = Till(), Remembering()

    await till.call(desk_of(memory))

    (step,) = memory.steps.values()
    assert (step.status, step.key, step.name, step.effect) == ("done", "c1", "pay", "at_most_once")
    assert step.response == {"text": "paid 5", "is_error": False}
    assert memory.types == ["tool.started", "tool.completed"]


async def test_a_call_that_is_done_is_not_run_again() -> None:
    till, first, second = Till(), Remembering(), Remembering()
    await till.call(desk_of(first))

    result = await till.call(desk_of(second, attempt=2, recorded=list(first.steps.values())))

    assert result == ToolResult("paid 5")
    assert len(till.keys) == 1
    assert second.events == []


@pytest.mark.parametrize("lost_at", ["effect", "commit"])
async def test_a_lost_call_that_may_run_once_is_not_run_again(lost_at: Literal["effect", "commit"]) -> None:
    till, memory = Till(), Remembering()
    recorded = await first_attempt(till, lost_at=lost_at)

    result = await till.call(desk_of(memory, attempt=2, recorded=recorded))

    assert result.is_error
    assert "It is not known whether 'pay' was done: the attempt that ran it ended" in result.text
    assert len(till.keys) == (1 if lost_at == "commit" else 0)
    assert memory.types == ["tool.unknown"]
    assert memory.steps[1].status is StepStatus.UNKNOWN


class Slow(Remembering):
    """Its claims are on their way until somebody lets them through; they are stored all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed, self.through = asyncio.Event(), asyncio.Event()

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        await Remembering.write(self, step, events, used=used)
        if step.status is StepStatus.CLAIMED:
            self.claimed.set()
            await self.through.wait()


@pytest.mark.parametrize("unknown", [UnknownOutcome.TELL_MODEL, UnknownOutcome.ASK_HUMAN])
async def test_a_call_that_waited_for_its_claim_when_its_attempt_was_stopped_is_made_later(
    unknown: UnknownOutcome,
) -> None:
    till, first, second = Till(), Slow(), Remembering()
    calling = asyncio.create_task(till.call(desk_of(first)))
    await first.claimed.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    made = list(till.keys)

    desk = desk_of(second, attempt=2, recorded=list(first.steps.values()), unknown=unknown)
    result = await till.call(desk)

    assert (made, len(till.keys), result) == ([], 1, ToolResult("paid 5"))
    assert (first.types, second.types, second.asked) == (
        ["tool.started", "tool.cancelled"],
        ["tool.started", "tool.completed"],
        [],
    )


async def test_a_call_whose_end_is_told_is_told_to_begin_again() -> None:
    till, memory = Till(), Remembering()
    recorded = await first_attempt(till, lost_at="commit", effect=Effect.IDEMPOTENT)
    cut = [step.model_copy(update={"status": StepStatus.CANCELLED}) for step in recorded]

    result = await till.call(desk_of(memory, attempt=2, recorded=cut), effect=Effect.IDEMPOTENT)

    assert result == ToolResult("paid 5")
    assert memory.types == ["tool.started", "tool.completed"]
    assert [(ordinal, step.usage.tool_calls) for ordinal, step in memory.steps.items()] == [(1, 0)]


async def test_a_call_of_unknown_outcome_is_told_once() -> None:
    till, memory = Till(), Remembering()
    recorded = await first_attempt(till, lost_at="commit")
    cut = [step.model_copy(update={"status": StepStatus.UNKNOWN}) for step in recorded]

    result = await till.call(desk_of(memory, attempt=2, recorded=cut))

    assert "It is not known whether 'pay' was done" in result.text
    assert len(till.keys) == 1
    assert memory.types == []


async def test_what_is_unknown_stays_unknown_in_later_attempts() -> None:
    till, memory, third = Till(), Remembering(), Remembering()
    recorded = await first_attempt(till, lost_at="commit")
    told = await till.call(desk_of(memory, attempt=2, recorded=recorded))

    again = await till.call(desk_of(third, attempt=3, recorded=list(memory.steps.values())))

    assert again == told
    assert third.events == []


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.READ_ONLY])
async def test_a_lost_call_that_may_be_repeated_runs_again_with_the_same_key(effect: Effect) -> None:
    till, memory = Till(), Remembering()
    recorded = await first_attempt(till, lost_at="commit", effect=effect)

    result = await till.call(desk_of(memory, attempt=2, recorded=recorded), effect=effect)

    assert result == ToolResult("paid 5")
    assert len(till.keys) == 2
    assert len(set(till.keys)) == 1
    assert memory.types == ["tool.completed"]
    assert list(memory.steps) == [1]


async def suspended(call: asyncio.Task[ToolResult], memory: Remembering) -> None:
    """Wait until the call has asked, and stop it like the executor does."""
    while not memory.asked:
        await asyncio.sleep(0)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


def decided(memory: Remembering, status: Literal["approved", "denied", "expired"], **fields: Any) -> list[Decision]:
    asked = memory.asked[0]
    return [Decision(id=uuid4(), kind=asked.kind, key=asked.key, digest=asked.digest, status=status, **fields)]


@pytest.mark.parametrize(("effect", "told"), [(Effect.AT_MOST_ONCE, "unknown"), (Effect.IDEMPOTENT, "cancelled")])
async def test_a_call_that_cannot_be_stopped_is_told_to_run_on(effect: Effect, told: str) -> None:
    memory, begun = Remembering(), asyncio.Event()

    async def linger(_: Mapping[str, Any], __: Call) -> str:
        begun.set()
        await asyncio.sleep(60)
        return "late"

    spec = ToolSpec("linger", "", {"type": "object"}, linger, effect=effect, stops=False)
    (tool,) = ToolGateway([spec], desk_of(memory)).tools()
    call = asyncio.ensure_future(tool.call("c1", {}))
    await begun.wait()

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    assert memory.types == ["tool.started", f"tool.{told}"]
    assert memory.events[1].data == {"tool_call_id": "c1", "name": "linger", "runs_on": True}
    assert memory.steps[1].status == told


async def test_a_call_that_needs_approval_asks_and_does_not_run() -> None:
    till, memory = Till(), Remembering()

    await suspended(asyncio.ensure_future(till.call(desk_of(memory), approval=ApprovalRule.ALWAYS)), memory)

    assert (till.keys, memory.steps) == ([], {})
    assert memory.asked[0].kind is QuestionKind.TOOL_CALL
    assert memory.asked[0].detail == {"tool_call_id": "c1", "arguments": {"sum": 5}}


async def test_an_approved_call_runs_once_and_uses_its_approval() -> None:
    till, memory, second = Till(), Remembering(), Remembering()
    await suspended(asyncio.ensure_future(till.call(desk_of(memory), approval=ApprovalRule.ALWAYS)), memory)
    decisions = decided(memory, "approved")

    result = await till.call(desk_of(second, attempt=2, decisions=decisions), approval=ApprovalRule.ALWAYS)

    assert result == ToolResult("paid 5")
    assert second.used == [decisions[0].id]


@pytest.mark.parametrize(("status", "told"), [("denied", "a human denied it. Too much."), ("expired", "in time")])
async def test_a_call_that_is_not_approved_tells_the_model(status: Literal["denied", "expired"], told: str) -> None:
    till, memory, second = Till(), Remembering(), Remembering()
    await suspended(asyncio.ensure_future(till.call(desk_of(memory), approval=ApprovalRule.ALWAYS)), memory)
    decisions = decided(memory, status, note="Too much.")

    result = await till.call(desk_of(second, attempt=2, decisions=decisions), approval=ApprovalRule.ALWAYS)

    assert result.is_error
    assert told in result.text
    assert till.keys == []
    assert second.types == ["tool.completed"]
    assert second.events[0].data["arguments"] == '{"sum": 5}'


@pytest.mark.parametrize("changed", [{"call_id": "c2"}, {"total": 6}])
async def test_an_approval_is_for_one_call_and_its_arguments(changed: dict[str, Any]) -> None:
    till, memory, second = Till(), Remembering(), Remembering()
    await suspended(asyncio.ensure_future(till.call(desk_of(memory), approval=ApprovalRule.ALWAYS)), memory)
    desk = desk_of(second, attempt=2, decisions=decided(memory, "approved"))

    await suspended(asyncio.ensure_future(till.call(desk, approval=ApprovalRule.ALWAYS, **changed)), second)

    assert till.keys == []


async def test_a_used_approval_is_worth_nothing() -> None:
    till, memory, second = Till(), Remembering(), Remembering()
    await suspended(asyncio.ensure_future(till.call(desk_of(memory), approval=ApprovalRule.ALWAYS)), memory)
    desk = desk_of(second, attempt=2, decisions=decided(memory, "approved", used=True))

    await suspended(asyncio.ensure_future(till.call(desk, approval=ApprovalRule.ALWAYS)), second)

    assert till.keys == []


async def test_a_policy_asks_for_some_calls_only() -> None:
    till, memory = Till(), Remembering()

    def is_large(arguments: Mapping[str, Any]) -> bool:
        return arguments["sum"] > 10

    rule: dict[str, Any] = {"approval": ApprovalRule.POLICY, "asks": is_large}

    assert await till.call(desk_of(memory), **rule) == ToolResult("paid 5")

    await suspended(asyncio.ensure_future(till.call(desk_of(memory), "c2", 11, **rule)), memory)
    assert len(till.keys) == 1


async def test_a_human_can_be_asked_whether_a_lost_call_runs_again() -> None:
    till, memory, third = Till(), Remembering(), Remembering()
    recorded = await first_attempt(till, lost_at="commit")
    ask = UnknownOutcome.ASK_HUMAN
    await suspended(
        asyncio.ensure_future(till.call(desk_of(memory, attempt=2, recorded=recorded, unknown=ask))), memory
    )
    assert memory.asked[0].kind is QuestionKind.OUTCOME_UNKNOWN

    desk = desk_of(third, attempt=3, recorded=recorded, unknown=ask, decisions=decided(memory, "approved"))
    result = await till.call(desk)

    assert result == ToolResult("paid 5")
    assert len(till.keys) == 2


async def test_a_reached_limit_ends_the_turn() -> None:
    till, memory = Till(), Remembering()
    desk = desk_of(memory, limits=Limits(tool_calls=1))
    await till.call(desk)

    with pytest.raises(BudgetExceeded, match="tool_calls = 1"):
        await till.call(desk, "c2")

    assert [failure.code for failure in memory.aborted] == ["budget_exceeded"]
    assert len(till.keys) == 1


async def test_a_reached_limit_can_be_a_question() -> None:
    till, memory = Till(), Remembering()
    desk = desk_of(memory, limits=Limits(tool_calls=1), pause_on_budget=True)
    await till.call(desk)

    await suspended(asyncio.ensure_future(till.call(desk, "c2")), memory)

    assert (memory.asked[0].kind, memory.asked[0].detail) == ("budget", {"limit": "tool_calls", "value": 1})
    assert memory.asked[0].of_call
    assert memory.aborted == []


async def test_no_call_begins_when_time_is_up() -> None:
    till, memory = Till(), Remembering()
    desk = desk_of(memory, limits=Limits(seconds=1), pause_on_budget=True)
    desk.budget.end_time()

    await suspended(asyncio.ensure_future(till.call(desk)), memory)

    assert memory.asked[0].key == "seconds"
    assert till.keys == []


async def test_calls_that_fail_and_lost_ones_are_counted_once_each() -> None:
    till, memory = Till(), Remembering()
    recorded = await first_attempt(till, lost_at="commit")
    desk = desk_of(memory, attempt=2, recorded=recorded)
    await till.call(desk)
    await till.call(desk, "c2")

    assert desk.journal.used == Usage(tool_calls=1)
