"""Structured output: right, wrong once, wrong twice."""

from collections.abc import Mapping
from typing import Any

from runtimes.types import Capability
from services.conformance.bench import Bench, Case
from services.conformance.scenario import Scenario, expect, expect_success

_NEEDS = frozenset({Capability.STRUCTURED_OUTPUT})
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_RIGHT = '{"name": "Ada", "age": 36}'
_WRONG = '{"name": "Ada", "age": "unknown"}'


async def right(bench: Bench) -> None:
    taken = await bench.run(Case(f"Who? [[json {_RIGHT}]]", output_schema=_SCHEMA))

    expect_success(taken)
    expect("output", taken.outcome and taken.outcome.output, {"name": "Ada", "age": 36})
    expect("model calls", len(taken.calls), 1)


async def repaired(bench: Bench) -> None:
    taken = await bench.run(Case(f"Who? [[json {_WRONG};; next;; json {_RIGHT}]]", output_schema=_SCHEMA))

    expect_success(taken)
    expect("output", taken.outcome and taken.outcome.output, {"name": "Ada", "age": 36})
    expect("model calls", len(taken.calls), 2)


async def wrong_twice(bench: Bench) -> None:
    taken = await bench.run(Case(f"Who? [[json {_WRONG};; next;; say I do not know.]]", output_schema=_SCHEMA))

    expect("failure", taken.failure and taken.failure.code, "output_invalid")
    expect("model calls", len(taken.calls), 2)


async def after_a_tool(bench: Bench) -> None:
    script = '[[tool add {"a": 30, "b": 6};; json {"name": "Ada", "age": 36}]]'

    taken = await bench.run(Case(script, functions=["add"], output_schema=_SCHEMA))

    expect_success(taken)
    expect("output", taken.outcome and taken.outcome.output, {"name": "Ada", "age": 36})
    expect("model calls", len(taken.calls), 2)


SCENARIOS = (
    Scenario("structured output", right, needs=_NEEDS),
    Scenario("structured output, repaired", repaired, needs=_NEEDS),
    Scenario("structured output, wrong twice", wrong_twice, needs=_NEEDS),
    Scenario("structured output after a tool", after_a_tool, needs=_NEEDS | {Capability.TOOLS}),
)
