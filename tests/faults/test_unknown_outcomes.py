"""A call that may not be repeated, and whose worker was killed in the middle of it, is a human's to decide."""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import NewStack
from tests.faults.test_graph_interrupts import asks, decide, pending
from tests.invariants import assert_ended_well
from tests.stack import Stack

pytestmark = [pytest.mark.timeout(300), pytest.mark.whole]
AGENT = {
    "toolsets": [{"type": "python", "functions": ["tests.tools:append_and_linger"]}],
    "configuration": {"on_outcome_unknown": "ask_human"},
}


async def test_a_lost_call_runs_again_only_if_a_human_says_so(new_stack: NewStack, tmp_path: Path) -> None:
    settings = {"HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools", "PYTHONPATH": str(Path(__file__).parents[2])}
    async with new_stack(settings=settings) as stack:
        await stack.agent("careful", **AGENT)
        ledgers = [tmp_path / verb for verb in ("approve", "deny")]
        executions = [await stack.start(script(ledger), "careful") for ledger in ledgers]
        await lose_the_worker(stack, ledgers)

        asked = [await question(stack, execution) for execution in executions]
        before = lines_of(ledgers)
        approved, denied = [await decided(stack, *each) for each in zip(executions, ("approve", "deny"), strict=True)]

        assert asked == ["outcome_unknown"] * 2
        assert before == [["line"]] * 2
        assert approved == "wrote line"
        assert "not known" in denied
        assert "I say so." in denied
        assert lines_of(ledgers) == [["line", "line"], ["line"]]


async def lose_the_worker(stack: Stack, ledgers: list[Path]) -> None:
    """Once every call has had its effect."""
    await stack.until(partial(all_exist, ledgers))
    stack.processes["default"].kill()
    stack.processes["default"].start()


async def question(stack: Stack, execution: str) -> str:
    await stack.until(partial(asks, stack, execution))
    (approval,) = await pending(stack, execution)
    return approval["kind"]


async def decided(stack: Stack, execution: str, verb: str) -> str:
    """What the execution says after the decision."""
    await decide(stack, execution, verb)
    result = await stack.result(execution)
    await assert_ended_well(stack, execution)
    return result["response"]


def lines_of(ledgers: list[Path]) -> list[list[str]]:
    return [ledger.read_text().split() for ledger in ledgers]


def script(ledger: Path) -> str:
    return f"[[tool append_and_linger {json.dumps({'path': str(ledger), 'line': 'line'})};; result]]"


async def all_exist(ledgers: list[Path]) -> bool:
    return all(ledger.exists() for ledger in ledgers)
