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
        await stack.until(partial(all_exist, ledgers))

        stack.processes["default"].kill()
        stack.processes["default"].start()
        for execution in executions:
            await stack.until(partial(asks, stack, execution))
        asked = [await kinds(stack, execution) for execution in executions]
        before = [ledger.read_text().split() for ledger in ledgers]
        for execution, verb in zip(executions, ("approve", "deny"), strict=True):
            await decide(stack, execution, verb)
        approved, denied = [(await stack.result(execution))["response"] for execution in executions]

        assert asked == [["outcome_unknown"]] * 2
        assert before == [["line"]] * 2
        assert approved == "wrote line"
        assert "not known" in denied
        assert "I say so." in denied
        assert [ledger.read_text().split() for ledger in ledgers] == [["line", "line"], ["line"]]
        for execution in executions:
            await assert_ended_well(stack, execution)


def script(ledger: Path) -> str:
    return f"[[tool append_and_linger {json.dumps({'path': str(ledger), 'line': 'line'})};; result]]"


async def all_exist(ledgers: list[Path]) -> bool:
    return all(ledger.exists() for ledger in ledgers)


async def kinds(stack: Stack, execution: str) -> list[str]:
    return [approval["kind"] for approval in await pending(stack, execution)]
