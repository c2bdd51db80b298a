"""Calls that a human has to allow, from the question to the effect."""

import json
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.invariants import assert_ended_well
from tests.stack import Stack


class Desk:
    """An agent whose tool needs approval, and a ledger that shows what it really did."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self._stack = stack
        self._ledger = directory / "ledger"
        self.marker = f"desk-{uuid4()}"

    async def ask(self, *lines: str, **configuration: Any) -> str:
        """An execution whose model asks for these calls at once."""
        tool = {"type": "python", "functions": ["tests.tools:append_line"], "approval": "always"}
        await self._stack.agent(self.marker, toolsets=[tool], configuration=configuration)
        calls = [f"append_line {json.dumps({'path': str(self._ledger), 'line': line})}" for line in lines]
        return await self._stack.start(f"[[tool {' && '.join(calls)};; result]] {self.marker}", self.marker)

    async def questions(self, execution: str) -> dict[str, str]:
        """What the waiting execution asks: ids by lines."""
        await self._stack.until_status(execution, "waiting")
        asked = await self._stack.http.get("/api/v1/approvals", params={"execution_id": execution})
        return {item["detail"]["arguments"]["line"]: item["id"] for item in asked.json()["items"]}

    async def decide(self, approval: str, verb: str, **body: str) -> int:
        return (await self._stack.http.post(f"/api/v1/approvals/{approval}/{verb}", json=body)).status_code

    @property
    def lines(self) -> list[str]:
        """What the tool did."""
        return sorted(self._ledger.read_text().split()) if self._ledger.exists() else []


@pytest.fixture
def desk(stack: Stack, tmp_path: Path) -> Desk:
    return Desk(stack, tmp_path)


async def test_of_several_calls_each_has_its_decision(stack: Stack, desk: Desk) -> None:
    execution = await desk.ask("one", "two", "three")
    asked = await desk.questions(execution)

    first = await desk.decide(asked["one"], "approve")
    still = (await stack.get(execution))["status"]
    rest = [await desk.decide(asked["two"], "deny", note="Not that."), await desk.decide(asked["three"], "approve")]
    again = await desk.decide(asked["two"], "approve")

    result = await stack.result(execution)
    assert (first, still, rest, again) == (200, "waiting", [200, 200], 409)
    assert desk.lines == ["one", "three"]
    assert "a human denied it. Not that." in result["response"]
    assert len(await stack.model_calls(desk.marker)) == 2
    await assert_ended_well(stack, execution)


async def test_a_call_that_nobody_decides_in_time_is_not_run(stack: Stack, desk: Desk) -> None:
    execution = await desk.ask("late", approval_timeout_seconds=2)
    asked = await desk.questions(execution)

    result = await stack.result(execution)

    assert "nobody approved it in time" in result["response"]
    assert await desk.decide(asked["late"], "approve") == 409
    assert desk.lines == []
    await assert_ended_well(stack, execution)


async def test_a_waiting_execution_is_cancelled_with_its_questions(stack: Stack, desk: Desk) -> None:
    execution = await desk.ask("never")
    asked = await desk.questions(execution)

    await stack.http.post(f"/api/v1/executions/{execution}/cancel")

    await stack.until_status(execution, "cancelled")
    shown = await stack.http.get(f"/api/v1/approvals/{asked['never']}")
    assert shown.json()["status"] == "withdrawn"
    await stack.until(partial(is_told, stack, execution))
    assert desk.lines == []


async def is_told(stack: Stack, execution: str) -> bool:
    """Whether Temporal has the end too."""
    return await stack.temporal_status(execution) == "CANCELED"
