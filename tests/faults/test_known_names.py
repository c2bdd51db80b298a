"""Claude Code under the names of models that it knows, over a dead worker and a decision of days."""

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import NewStack
from tests.faults.test_graph_interrupts import asks, pending
from tests.invariants import assert_ended_well
from tests.runtimes.sandboxes import needs_sandbox
from tests.stack import Stack

pytestmark = [pytest.mark.timeout(300), pytest.mark.whole, needs_sandbox]
NAMES = ("claude-sonnet-5", "claude-sonnet-4-5", "claude-haiku-4-5", "nobody-knows-me")
SCRIPT = (
    "{token} [[insist;; reword;; think One.;; tool {first};; think Two.;; tool {second};; think Three.;; say Done.]]"
)


async def test_every_call_is_made_once_whatever_the_models_name(new_stack: NewStack, tmp_path: Path) -> None:
    settings = {"HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools", "PYTHONPATH": str(Path(__file__).parents[2])}
    async with new_stack(settings=settings, pools=("claude_code",)) as stack:
        executions = {name: await start(stack, name, tmp_path / name) for name in NAMES}
        await asyncio.gather(*(approve(stack, execution) for execution in executions.values()))
        await asyncio.gather(*(stack.until(partial(asks, stack, each)) for each in executions.values()))

        stack.processes["claude_code"].kill()
        stack.processes["claude_code"].start()
        await asyncio.gather(*(approve(stack, execution) for execution in executions.values()))

        for name, execution in executions.items():
            assert (await stack.result(execution, timeout=120))["response"] == "Done.", name
            assert (tmp_path / name).read_text().split() == ["first", "second"], name
            assert len(await stack.model_calls(f"token-{name}")) == 3, name
            events = await assert_ended_well(stack, execution)
            assert [event["type"] for event in events].count("approval.requested") == 2, name


async def start(stack: Stack, name: str, ledger: Path) -> str:
    toolset = {"type": "python", "functions": ["tests.tools:append_line"], "approval": "always"}
    model = f"anthropic_scripted/{name}"
    await stack.agent(name, runtime="claude_code", model_id=model, toolsets=[toolset])
    first, second = (f"append_line {json.dumps({'path': str(ledger), 'line': line})}" for line in ("first", "second"))
    return await stack.start(SCRIPT.format(token=f"token-{name}", first=first, second=second), name)


async def approve(stack: Stack, execution: str) -> None:
    """Approve the next call that is asked for."""
    await stack.until(partial(asks, stack, execution))
    (approval,) = await pending(stack, execution)
    decided = await stack.http.post(f"/api/v1/approvals/{approval['id']}/approve", json={})
    assert decided.is_success, decided.text
