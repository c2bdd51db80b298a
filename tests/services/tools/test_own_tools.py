"""Tools that a framework runs itself, and its questions to a human."""

import asyncio
from uuid import uuid4

from runtimes.types import OwnCall, ToolResult
from services.control_plane_client.models import Decision, StepStatus
from services.tools.own_tools import JournalledTools, own_tools
from tests.services.tools.desks import Remembering, desk_of

VALUE = {"node": "review", "value": "May I?"}


async def nothing_kept() -> str | None:
    return None


async def asked(memory: Remembering) -> None:
    asking = asyncio.ensure_future(
        JournalledTools(desk_of(memory), nothing_kept).begin("interrupt_1.1", "interrupt", VALUE)
    )
    while not memory.asked:
        await asyncio.sleep(0)
    asking.cancel()


def decision(memory: Remembering) -> Decision:
    (question,) = memory.asked
    return Decision(id=uuid4(), kind=question.kind, key=question.key, digest=question.digest, status="approved")


async def test_an_interrupt_always_asks_and_its_approval_is_its_result() -> None:
    first, second = Remembering(), Remembering()

    await asked(first)
    tools = JournalledTools(desk_of(second, attempt=2, decisions=[decision(first)]), nothing_kept)

    assert await tools.begin("interrupt_1.1", "interrupt", VALUE) == ToolResult("approved")


async def test_a_human_is_asked_about_all_calls_of_an_answer_at_once() -> None:
    memory = Remembering()
    known = own_tools([{"type": "shell", "approval": "always"}, {"type": "file_system"}])
    tools = JournalledTools(desk_of(memory), nothing_kept, known)
    others = [OwnCall("2", "Bash", {"command": "b"}), OwnCall("3", "Read", {"file_path": "/c"})]

    asking = asyncio.ensure_future(tools.begin("1", "Bash", {"command": "a"}, beside=others))
    await asyncio.sleep(0.01)

    assert [(question.key, question.detail["arguments"]) for question in memory.asked] == [
        ("1", {"command": "a"}),
        ("2", {"command": "b"}),
    ]
    asking.cancel()


async def test_an_approval_that_was_not_committed_holds_still() -> None:
    first, second, third = Remembering(), Remembering(), Remembering()
    await asked(first)
    approved = JournalledTools(desk_of(second, attempt=2, decisions=[decision(first)]), nothing_kept)
    await approved.begin("interrupt_1.1", "interrupt", VALUE)
    lost = [step.model_copy(update={"status": StepStatus.CLAIMED}) for step in second.steps.values()]

    tools = JournalledTools(desk_of(third, attempt=3, recorded=lost), nothing_kept)

    assert await tools.begin("interrupt_1.1", "interrupt", VALUE) == ToolResult("approved")
    assert third.asked == []
