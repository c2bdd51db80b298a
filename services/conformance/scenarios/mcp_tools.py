"""Tools of an MCP server, which is started and ended with the turn."""

import sys
from collections.abc import Mapping
from typing import Any

from runtimes.types import Capability
from services.conformance.bench import MCP_SERVER, Bench, Case
from services.conformance.scenario import Scenario, expect, expect_a_place, expect_answer

_NEEDS = frozenset({Capability.TOOLS, Capability.MCP})


async def one_call(bench: Bench) -> None:
    taken = await bench.run(_multiplying([sys.executable, str(MCP_SERVER)]))

    expect_a_place(taken)
    expect_answer(taken, "42")
    expect("tool calls", [step.name for step in taken.steps if step.kind == "tool_call"], ["math__multiply"])


async def broken_server(bench: Bench) -> None:
    taken = await bench.run(_multiplying([sys.executable, "-c", "raise SystemExit(1)"]))

    expect_a_place(taken)
    expect("failure", taken.failure and taken.failure.code, "mcp_server_failed")
    expect("model calls", len(taken.calls), 0)


def _multiplying(command: list[str]) -> Case:
    toolset: Mapping[str, Any] = {"type": "mcp", "servers": {"math": {"command": command}}}
    return Case('[[tool math__multiply {"a": 6, "b": 7};; result]]', toolsets=[toolset])


SCENARIOS = (
    Scenario("tool of an MCP server", one_call, needs=_NEEDS),
    Scenario("broken MCP server", broken_server, needs=_NEEDS),
)
