"""An execution that reaches a limit waits for a human, and goes on where it stopped."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.control_plane.cli.conftest import Cli
from tests.invariants import assert_ended_well
from tests.stack import Stack

BAD_LIMITS = ((), ("--limit", "1"), ("--limit", "1.5"), ("--limit", "-3"), ("--limit", "nan"), ("--limit", "inf"))
PRICED = "deepseek/deepseek-chat"


class Purse:
    """An agent with a limit, and a ledger that shows what its tool really did."""

    def __init__(self, stack: Stack, directory: Path) -> None:
        self._stack = stack
        self._ledger = directory / "ledger"
        self.marker = f"purse-{uuid4()}"

    def script(self, *more: str) -> str:
        """Two calls of the tool, each answer of the model at a price."""
        calls = [f"usage 2000 100;; tool append_line {self._arguments(number)}" for number in (1, 2)]
        return f"[[{';; '.join((*calls, *more, 'say done'))}]] {self.marker}"

    async def agent(self, **budget: float) -> str:
        """An agent that asks at its limit."""
        toolsets = [{"type": "python", "functions": ["tests.tools:append_line"]}]
        configuration = {"budget": budget, "on_budget": "pause"}
        await self._stack.agent(self.marker, model_id=PRICED, toolsets=toolsets, configuration=configuration)
        return self.marker

    async def question(self, execution: str) -> dict[str, Any]:
        """What the waiting execution asks."""
        await self._stack.until_status(execution, "waiting")
        asked = await self._stack.http.get("/api/v1/approvals", params={"execution_id": execution})
        (approval,) = asked.json()["items"]
        return approval

    async def outcomes(self) -> list[str]:
        """How the model calls that were really made ended."""
        return [call["outcome"] for call in await self._stack.model_calls(self.marker)]

    @property
    def lines(self) -> list[str]:
        """What the tool did."""
        return self._ledger.read_text().split() if self._ledger.exists() else []

    def _arguments(self, number: int) -> str:
        return json.dumps({"path": str(self._ledger), "line": f"line{number}"})


@pytest.fixture
def purse(stack: Stack, tmp_path: Path) -> Purse:
    return Purse(stack, tmp_path)


@pytest.mark.parametrize(
    ("limit", "value", "raised", "lines"),
    [
        ("tokens", 2_000, 100_000, ["line1"]),
        ("cost_usd", 0.0003, 1, ["line1"]),
        ("model_calls", 1, 10, ["line1"]),
        ("tool_calls", 1, 10, ["line1"]),
    ],
)
async def test_a_raised_limit_lets_the_turn_go_on_where_it_stopped(
    stack: Stack, purse: Purse, limit: str, value: float, raised: float, lines: list[str]
) -> None:
    agent = await purse.agent(**{limit: value})
    execution = await stack.start(purse.script(), agent)
    asked = await purse.question(execution)
    done_before = purse.lines

    answer = await stack.http.post(f"/api/v1/approvals/{asked['id']}/approve", json={"limit": raised})

    assert answer.status_code == 200, answer.text
    assert (asked["kind"], asked["key"], asked["detail"]["value"]) == ("budget", limit, value)
    assert (await stack.result(execution))["response"] == "done"
    assert (done_before, purse.lines) == (lines, ["line1", "line2"])
    assert await purse.outcomes() == ["completed"] * 3
    await assert_ended_well(stack, execution)


async def test_more_time_lets_a_cut_off_call_be_made_again(stack: Stack, purse: Purse) -> None:
    execution = await stack.start(purse.script("wait 3"), await purse.agent(seconds=2))
    asked = await purse.question(execution)

    await stack.http.post(f"/api/v1/approvals/{asked['id']}/approve", json={"limit": 60})

    assert asked["key"] == "seconds"
    assert (await stack.result(execution))["response"] == "done"
    assert purse.lines == ["line1", "line2"]
    assert await purse.outcomes() == ["completed", "completed", "aborted", "completed"]
    await assert_ended_well(stack, execution)


async def test_a_limit_that_is_not_raised_ends_the_execution(stack: Stack, purse: Purse) -> None:
    execution = await stack.start(purse.script(), await purse.agent(tool_calls=1))
    asked = await purse.question(execution)

    await stack.http.post(f"/api/v1/approvals/{asked['id']}/deny", json={})

    assert (await stack.result(execution))["error"]["code"] == "budget_exceeded"
    assert purse.lines == ["line1"]
    await assert_ended_well(stack, execution, "failed")


async def test_a_limit_stays_raised_for_the_turns_that_follow(stack: Stack, purse: Purse) -> None:
    execution = await stack.start(purse.script(), await purse.agent(tool_calls=1), interactive=True)
    asked = await purse.question(execution)
    await stack.http.post(f"/api/v1/approvals/{asked['id']}/approve", json={"limit": 4})
    await stack.until_event(execution, "turn.completed")

    await stack.http.post(f"/api/v1/executions/{execution}/messages", json={"content": purse.script()})
    await stack.http.post(f"/api/v1/executions/{execution}/close")

    assert (await stack.result(execution))["response"] == "done"
    assert purse.lines == ["line1", "line2"] * 2
    await assert_ended_well(stack, execution)


async def test_a_waiting_turn_can_be_interrupted(stack: Stack, purse: Purse) -> None:
    execution = await stack.start(purse.script(), await purse.agent(tool_calls=1), interactive=True)
    asked = await purse.question(execution)

    answer = await stack.http.post(f"/api/v1/executions/{execution}/interrupt")

    assert answer.status_code == 202, answer.text
    await stack.until_event(execution, "turn.interrupted")
    assert (await stack.http.get(f"/api/v1/approvals/{asked['id']}")).json()["status"] == "withdrawn"
    await stack.http.post(f"/api/v1/executions/{execution}/close")
    await stack.result(execution)
    await assert_ended_well(stack, execution)


async def test_the_command_raises_a_limit(stack: Stack, purse: Purse, tmp_path: Path) -> None:
    cli = Cli(tmp_path, stack.api_url, stack.api_key)
    agent = await purse.agent(model_calls=1)
    execution = cli("run", agent, purse.script(), "--detach").stdout.strip()
    asked = await purse.question(execution)

    refused = [cli("approvals", "approve", asked["id"], *more).returncode for more in BAD_LIMITS]
    raised = cli("approvals", "approve", asked["id"], "--limit", "10")
    again = cli("approvals", "deny", asked["id"])

    assert (refused, raised.returncode, again.returncode) == ([2] * len(BAD_LIMITS), 0, 5)
    assert cli("executions", "result", execution, "--wait", "60").stdout == "done\n"
    assert purse.lines == ["line1", "line2"]
