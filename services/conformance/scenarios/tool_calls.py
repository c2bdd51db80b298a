"""Tools: called, failing, called wrongly, called without an end."""

from typing import Any

from runtimes.errors import LimitReached
from runtimes.types import Capability, ToolMessage
from services.conformance.bench import Bench, Case, Taken, done
from services.conformance.scenario import Scenario, expect, expect_answer, expect_success, expect_that
from services.control_plane_client.models import StepKind

_TOOLS = frozenset({Capability.TOOLS})
_ROUNDS = 4


async def one_call(bench: Bench) -> None:
    taken = await bench.run(Case('[[say Let me add.;; tool add {"a": 2, "b": 3};; result]]', functions=["add"]))

    expect_answer(taken, "5")
    expect("tool calls", _told(taken), [("add", "5", False)])
    expect("model calls", len(taken.calls), 2)
    kinds = [event.type for event in taken.record.events if event.type.startswith(("message", "tool"))]
    expect("events", kinds, ["message.completed", "tool.started", "tool.completed", "message.completed"])


async def parallel_calls(bench: Bench) -> None:
    script = '[[tool add {"a": 1, "b": 1} && look {"name": "the moon"} && add {"a": 2, "b": 2};; result]]'

    taken = await bench.run(Case(script, functions=["add", "look"]))

    expect_answer(taken, "2\nYou looked at the moon.\n4")
    expect("tool calls", sorted(message.result for message in _messages(taken)), ["2", "4", "You looked at the moon."])
    expect("model calls", len(taken.calls), 2)


async def many_rounds(bench: Bench) -> None:
    taken = await bench.run(Case('[[repeat-tool 5 add {"a": 1, "b": 1};; say enough]]', functions=["add"]))

    expect_answer(taken, "enough")
    expect("tool calls", len(_messages(taken)), 5)
    expect("model calls", len(taken.calls), 6)


async def failing_tool(bench: Bench) -> None:
    taken = await bench.run(Case('[[tool fail {"reason": "no luck today"};; result]]', functions=["fail"]))

    expect_success(taken)
    expect_that("no luck today" in taken.response, f"the model was not told why: {taken.response}")
    expect("is an error", [message.is_error for message in _messages(taken)], [True])


async def wrong_arguments(bench: Bench) -> None:
    taken = await bench.run(Case('[[tool add {"a": "two"};; result]]', functions=["add"]))

    expect_success(taken)
    expect_that(_tells_of(taken, "add", "b", "required"), f"the model was not told what is wrong: {taken.response}")
    expect("tool calls that ran", [message for message in _messages(taken) if not message.is_error], [])


async def broken_arguments(bench: Bench) -> None:
    taken = await bench.run(Case('[[tool add {"a": 1, "b";; say so be it]]', functions=["add"]))

    expect_answer(taken, "so be it")
    expect("tool calls that ran", [message for message in _messages(taken) if not message.is_error], [])


async def unknown_tool(bench: Bench) -> None:
    taken = await bench.run(Case("[[tool nosuch {};; result]]", functions=["add"]))

    expect_success(taken)
    expect_that("nosuch" in taken.response, f"the model was not told which tool is missing: {taken.response}")


async def too_many_turns(bench: Bench) -> str:
    limits = {"runtime_config": {"max_turns": _ROUNDS}}
    case = Case('[[repeat-tool 1000 add {"a": 1, "b": 1}]]', functions=["add"], configuration=limits)

    taken = await bench.run(case)

    expect("failure", taken.failure and taken.failure.code, LimitReached.code)
    expect("model calls", len(taken.calls), _ROUNDS)
    expect("tool calls that ran", len(_ran(taken)), _ROUNDS - 1)
    return f"{len(taken.calls)} model calls"


async def too_many_calls(bench: Bench) -> str:
    limits = {"runtime_config": {"tool_call_limit": _ROUNDS}}
    case = Case('[[repeat-tool 1000 add {"a": 1, "b": 1}]]', functions=["add"], configuration=limits)

    taken = await bench.run(case)

    expect("failure", taken.failure and taken.failure.code, LimitReached.code)
    expect("tool calls that ran", len(_ran(taken)), _ROUNDS)
    return f"{len(taken.calls)} model calls"


def _ran(taken: Taken) -> list[Any]:
    return [step for step in done(taken, StepKind.TOOL_CALL) if not step.response["is_error"]]


def _messages(taken: Taken) -> list[ToolMessage]:
    return taken.outcome.tool_messages if taken.outcome else []


def _told(taken: Taken) -> list[tuple[str, str, bool]]:
    return [(message.name, message.result, message.is_error) for message in _messages(taken)]


def _tells_of(taken: Taken, *words: str) -> bool:
    return all(word in taken.response for word in words)


SCENARIOS = (
    Scenario("one tool call", one_call, needs=_TOOLS),
    Scenario("parallel tool calls", parallel_calls, needs=_TOOLS),
    Scenario("many rounds of tool calls", many_rounds, needs=_TOOLS),
    Scenario("failing tool", failing_tool, needs=_TOOLS),
    Scenario("wrong arguments", wrong_arguments, needs=_TOOLS),
    Scenario("broken arguments", broken_arguments, needs=_TOOLS),
    Scenario("unknown tool", unknown_tool, needs=_TOOLS),
    Scenario("endless loop, max_turns", too_many_turns, needs=_TOOLS),
    Scenario("endless loop, tool_call_limit", too_many_calls, needs=_TOOLS),
)
