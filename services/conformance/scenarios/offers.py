"""The offer of a turn to its model: it stays as it was, whatever its tools' servers have become meanwhile."""

import sys
from collections.abc import Mapping
from typing import Any

from runtimes.types import Capability
from services.conformance.bench import MCP_SERVER, Bench, Case, Taken, done
from services.conformance.control_plane import Journal
from services.conformance.scenario import Scenario, expect, expect_a_place, expect_answer, expect_that
from services.control_plane_client.models import StepKind

_NEEDS = frozenset({Capability.TOOLS, Capability.MCP})


async def one_tool_more(bench: Bench) -> str:
    """The worker is lost after each write, and the server has one more tool by then: nothing diverges."""
    first = await bench.run(_changing("richer"))
    expect_a_place(first)
    expect_answer(first, "42")

    states = _after_the_change(first)
    for journal in states:
        again = await bench.again(first, journal)
        expect_answer(again, "42")
        expect("model calls", len(again.calls), _missing(first, journal))
        _expect_no_divergence(again)
    return f"{len(states)} kills"


async def server_gone(bench: Bench) -> None:
    """The server cannot be reached any more: its tools are offered all the same, and a call is told of it."""
    again = await _again_after(bench, "gone")

    expect("failure", again.failure and again.failure.code, None)
    expect_that("math__multiply" in again.response, f"the model was not told which tool is gone: {again.response}")


async def server_away(bench: Bench) -> None:
    """The server cannot be reached when the attempt opens, and can be when its tool is called."""
    again = await _again_after(bench, "away")

    expect_answer(again, "42")


async def _again_after(bench: Bench, future: str) -> Taken:
    """Run a turn that changes the server, and go on with it as the next attempt does: nothing diverges."""
    first = await bench.run(_changing(future))
    expect_a_place(first)
    expect_answer(first, "42")
    journal = _after_the_change(first)[0]

    again = await bench.again(first, journal)

    expect("model calls", len(again.calls), _missing(first, journal))
    _expect_no_divergence(again)
    return again


def _changing(future: str) -> Case:
    server = {"command": [sys.executable, str(MCP_SERVER)]}
    toolset: Mapping[str, Any] = {"type": "mcp", "servers": {"math": server}}
    script = f'tool math__change {{"future": "{future}"}};; tool math__multiply {{"a": 6, "b": 7}};; result'
    return Case(f"[[{script}]]", toolsets=[toolset])


def _after_the_change(taken: Taken) -> list[Journal]:
    """The journals that a killed worker may leave once the server was changed, and before it was called again."""
    named = [[step.name for step in journal.steps.values()] for journal in taken.record.states]
    return [
        journal
        for journal, names in zip(taken.record.states, named, strict=True)
        if journal.workspace is not None and "math__multiply" not in names
    ]


def _missing(taken: Taken, journal: Journal) -> int:
    known = {step.ordinal for step in journal.steps.values() if step.status == "done"}
    return sum(step.ordinal not in known for step in done(taken, StepKind.MODEL_CALL))


def _expect_no_divergence(taken: Taken) -> None:
    expect("divergences", [event.type for event in taken.record.events if event.type == "journal.diverged"], [])


SCENARIOS = (
    Scenario("an MCP server with one more tool", one_tool_more, needs=_NEEDS),
    Scenario("an MCP server that is gone", server_gone, needs=_NEEDS),
    Scenario("an MCP server that comes back", server_away, needs=_NEEDS),
)
