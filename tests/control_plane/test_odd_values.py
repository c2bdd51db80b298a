"""Values in models' arguments and answers that JSON allows and no machine likes."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.stack import Stack

SETTINGS = {"HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools", "PYTHONPATH": str(ROOT)}
RUNTIMES = ("default", "native", "langgraph", "openai_agents")


def nested(levels: int) -> str:
    """Lists within one another."""
    return "[" * levels + "]" * levels


ODD = {
    "a little nested": nested(40),
    "nested": nested(200),
    "objects": '{"a":' * 300 + "1" + "}" * 300,
    "more objects": '{"a":' * 400 + "1" + "}" * 400,
    "infinite": "1e999",
    "a large number": "1" * 40,
    "a number without end": "1" * 10_000,
}


@pytest.fixture(scope="module")
async def served(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack(settings=SETTINGS, pools=RUNTIMES) as stack:
        for runtime in RUNTIMES:
            tools = [{"type": "python", "functions": ["tests.tools:take", "tests.tools:append_line"]}]
            await stack.agent(f"odd-{runtime}", runtime=runtime, toolsets=tools)
        yield stack


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_odd_arguments_are_the_model_s_mistake(served: Stack, runtime: str, value: str) -> None:
    execution = await served.start(f'[[tool take {{"value": {value}}};; say done]]', f"odd-{runtime}")

    result = await served.result(execution)
    types = await served.types(execution)

    assert (result["success"], result["response"]) == (True, "done"), result["error"]
    assert types.count("tool.completed") == 1
    assert "attempt.failed" not in types
    assert "journal.diverged" not in types


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_odd_output_is_kept_or_refused(served: Stack, value: str) -> None:
    answer = f'{{"value": {value}}}'
    execution = await served.start(
        f"[[json {answer};; next;; json {answer}]]", "odd-default", output_schema={"type": "object"}
    )

    result = await served.result(execution)
    types = await served.types(execution)

    assert result["success"] or result["error"]["code"] == "output_invalid"
    assert types.count("attempt.started") == 1


async def test_a_worker_lives_through_all_of_it(served: Stack, tmp_path: Path) -> None:
    call = f'tool append_line {{"path": "{tmp_path}/ledger", "line": "x"}}'
    for runtime in RUNTIMES:
        assert (await served.result(await served.start(f"[[{call};; say done]]", f"odd-{runtime}")))["success"]
    assert (tmp_path / "ledger").read_text() == "x\n" * len(RUNTIMES)
