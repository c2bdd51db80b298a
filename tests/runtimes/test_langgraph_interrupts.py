"""Interrupts of graphs: a human decides, and the turn is run again from its start, in any process."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from runtimes.errors import ConfigurationInvalid
from runtimes.factory import RuntimeFactory
from runtimes.types import OwnCall, ToolResult, TurnFinished, Wire
from tests.runtimes.model_server import ModelServer
from tests.runtimes.turns import Turns, tool

SAMPLES = "tests.runtimes.sample_graphs"


@dataclass(slots=True)
class Journal:
    """What survives an attempt: decisions on interrupts, results of tools."""

    decisions: dict[str, ToolResult | None] = field(default_factory=dict[str, ToolResult | None])
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    ended: list[str] = field(default_factory=list[str])
    tools_run: list[str] = field(default_factory=list[str])

    async def begin(
        self, tool_call_id: str, name: str, arguments: Mapping[str, Any], *, beside: Sequence[OwnCall] = ()
    ) -> ToolResult | None:
        assert name == "interrupt"
        assert self.asked.setdefault(tool_call_id, arguments) == arguments
        if tool_call_id not in self.decisions:
            await asyncio.Event().wait()
        return self.decisions[tool_call_id]

    async def end(self, tool_call_id: str, result: ToolResult) -> None:
        self.ended.append(tool_call_id)
        self.decisions[tool_call_id] = result

    async def lookup(self, tool_call_id: str, _: Mapping[str, Any] | str) -> ToolResult:
        self.tools_run.append(tool_call_id)
        return ToolResult("42")


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts at one turn, each with nothing but the journal."""

    turns: Turns
    graph: str
    prompt: str
    journal: Journal = field(default_factory=Journal)

    async def run(self, *, questions: int = 0) -> TurnFinished | None:
        """Run the turn; None where it waits for so many decisions."""
        configuration = {"runtime_config": {"graph": f"{SAMPLES}:{self.graph}"}}
        context = self.turns.context(
            self.prompt,
            configuration=configuration,
            modules=[SAMPLES],
            own_tools=self.journal,
            tools=[tool(self.journal.lookup)],
        )
        running = asyncio.create_task(self._finished(context))
        while not running.done() and (not questions or len(self.journal.asked) < questions):
            await asyncio.sleep(0.01)
        if running.done():
            return running.result()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return None

    async def _finished(self, context: Any) -> TurnFinished:
        runtime = self.turns.factory.create_runtime("langgraph")
        async with aclosing(runtime.stream_execute(context)) as events:
            finished = [event async for event in events][-1]
        assert isinstance(finished, TurnFinished)
        return finished


@pytest.fixture
def graphs(factory: RuntimeFactory, model: ModelServer) -> Turns:
    return Turns(factory, "langgraph", model, model.endpoint(Wire.OPENAI))


@pytest.mark.parametrize(
    ("decision", "response"),
    [
        (None, "Paint it. 42: approve"),
        (ToolResult(""), "Paint it. 42: approve"),
        (ToolResult("Not red.", is_error=True), "Paint it. 42: reject Not red."),
    ],
)
async def test_a_decision_reaches_the_node_that_asked(
    graphs: Turns, decision: ToolResult | None, response: str
) -> None:
    attempts = Attempts(graphs, "planning", "[[say Paint it.]]")

    assert await attempts.run(questions=1) is None
    attempts.journal.decisions["interrupt_1_1.1"] = decision
    finished = await attempts.run()

    assert finished is not None
    assert finished.response == response
    assert attempts.journal.asked["interrupt_1_1.1"] == {
        "node": "only",
        "place": "1.1",
        "value": {"plan": "Paint it.", "done": "42"},
    }


async def test_a_node_that_runs_again_calls_no_model_and_no_tool_again(graphs: Turns) -> None:
    attempts = Attempts(graphs, "planning", "only-once-000417 [[say Paint it.]]")
    attempts.journal.decisions["interrupt_1_1.1"] = None

    await attempts.run()

    assert len(await graphs.calls("only-once-000417")) == 1
    assert len(attempts.journal.tools_run) == 1


async def test_a_tool_that_a_node_calls_itself_has_one_id_in_every_attempt(graphs: Turns) -> None:
    attempts = Attempts(graphs, "planning", "[[say Paint it.]]")

    await attempts.run(questions=1)
    attempts.journal.decisions["interrupt_1_1.1"] = None
    await attempts.run()

    first, second = attempts.journal.tools_run
    assert first == second


async def test_an_approval_is_committed_and_holds_in_the_next_attempt(graphs: Turns) -> None:
    attempts = Attempts(graphs, "planning", "[[say Paint it.]]")
    attempts.journal.decisions["interrupt_1_1.1"] = None

    first = await attempts.run()
    second = await attempts.run()

    assert attempts.journal.ended == ["interrupt_1_1.1"]
    assert first == second


async def test_several_interrupts_wait_at_once_and_those_of_one_node_one_by_one(graphs: Turns) -> None:
    attempts = Attempts(graphs, "two_reviews", "hello")
    journal = attempts.journal

    assert await attempts.run(questions=2) is None
    assert {key: asked["value"] for key, asked in journal.asked.items()} == {
        "interrupt_1_1.1": {"side": "left"},
        "interrupt_1_1.2": "right, first",
    }
    journal.decisions |= {"interrupt_1_1.1": None, "interrupt_1_1.2": ToolResult("No.", is_error=True)}
    assert await attempts.run(questions=3) is None
    assert journal.asked["interrupt_1_2.1"]["value"] == "right, second"
    journal.decisions["interrupt_1_2.1"] = None
    finished = await attempts.run()

    assert finished is not None
    assert finished.response == "right reject approve"


@pytest.mark.parametrize("graph", ["guarded", "guarded_each"])
async def test_langchains_own_middleware_is_answered(graphs: Turns, graph: str) -> None:
    attempts = Attempts(graphs, graph, '[[tool lookup {"q": 1} && lookup {"q": 2};; result]]')

    assert await attempts.run(questions=1 if graph == "guarded" else 2) is None
    for key in ("interrupt_1_1.1", "interrupt_1_1.2", "interrupt_1_1.1.1"):
        attempts.journal.decisions[key] = None
    attempts.journal.decisions["interrupt_1_1.1.2"] = ToolResult("Not the second.", is_error=True)
    finished = await attempts.run()

    assert finished is not None
    assert len(attempts.journal.tools_run) == (1 if graph == "guarded" else 2)
    assert "42" in finished.response.splitlines()


async def test_where_nobody_can_be_asked_the_turn_fails(graphs: Turns) -> None:
    settings = {"runtime_config": {"graph": f"{SAMPLES}:two_reviews"}}

    with pytest.raises(ConfigurationInvalid, match="nobody can be asked"):
        await graphs.run("hello", configuration=settings, modules=[SAMPLES])
