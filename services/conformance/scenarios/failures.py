"""What a provider can do wrong, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from runtimes.types import Capability
from services.conformance.bench import Bench, Case
from services.conformance.scenario import Scenario, expect, expect_answer, expect_that

_ONCE: Mapping[str, Any] = {"model_retries": {"attempts": 1}}
_SOON = dict.fromkeys(("connect_seconds", "first_byte_seconds", "idle_seconds"), 0.5)
_IMPATIENT: Mapping[str, Any] = {**_ONCE, "model_timeouts": _SOON}


@dataclass(frozen=True, slots=True)
class Failing:
    """A script that fails, and the failure's code; `calls` are the outcomes of the model calls behind it."""

    name: str
    script: str
    code: str
    calls: tuple[str, ...] = ("failed",)
    configuration: Mapping[str, Any] = field(default_factory=lambda: _ONCE)
    retry_after: float | None = None


_FAILING = (
    Failing("429, given up", "[[error 429 retry-after 7]]", "model_rate_limited", retry_after=7.0),
    Failing("401", "[[error 401]]", "model_authentication", configuration={}),
    Failing("404", "[[error 404]]", "model_not_found", configuration={}),
    Failing("500", "[[error 500]]", "model_failed"),
    Failing("529", "[[error 529]]", "model_overloaded"),
    Failing("context too long", "[[context-too-long]]", "context_too_long", configuration={}),
    Failing("hang before the first byte", "[[hang]]", "model_timeout", ("aborted",), _IMPATIENT),
    Failing("stall in mid-stream", "[[say Once upon;; hang]]", "model_timeout", ("aborted",), _IMPATIENT),
    Failing("dropped connection", "[[say Once upon;; drop]]", "model_connection_broken", ("aborted",)),
    Failing("error inside a stream", "[[say Once upon;; stream-error]]", "model_failed"),
    Failing("web page with status 200", "[[html]]", "model_answer_invalid"),
    Failing("broken JSON", "[[garbage]]", "model_answer_invalid"),
)


async def failing(bench: Bench, wanted: Failing) -> None:
    running = bench.start(Case(wanted.script, configuration=wanted.configuration))
    taken = await running.taken()

    expect("failure", taken.failure and taken.failure.code, wanted.code)
    expect("retry after", taken.failure and taken.failure.retry_after, wanted.retry_after)
    calls = await bench.ended_calls(running.marker)
    expect("model calls", tuple(call.outcome for call in calls), wanted.calls)


async def after_a_tool(bench: Bench) -> None:
    script = '[[tool add {"a": 1, "b": 2};; error 401]]'

    taken = await bench.run(Case(script, functions=["add"]))

    expect("failure", taken.failure and taken.failure.code, "model_authentication")
    expect("model calls", len(taken.calls), 2)


async def waits_as_told(bench: Bench) -> str:
    taken = await bench.run(Case("[[error 429 retry-after 1 times 1;; say through]]"))

    expect_answer(taken, "through")
    expect("model calls", [call.outcome for call in taken.calls], ["failed", "completed"])
    first, second = (datetime.fromisoformat(call.received_at) for call in taken.calls)
    waited = (second - first).total_seconds()
    expect_that(waited >= 0.95, f"it waited for {waited:.2f} s, and was told 1 s")
    return f"waited for {waited:.2f} s"


async def waits_by_itself(bench: Bench) -> None:
    taken = await bench.run(Case("[[error 429 times 1;; error 500 times 1;; say through]]"))

    expect_answer(taken, "through")
    expect("model calls", [call.outcome for call in taken.calls], ["failed", "failed", "completed"])


SCENARIOS = (
    Scenario("429 with Retry-After", waits_as_told),
    Scenario("429 without Retry-After, then 500", waits_by_itself),
    *(Scenario(each.name, partial(failing, wanted=each)) for each in _FAILING),
    Scenario("401 after a tool call", after_a_tool, needs=frozenset({Capability.TOOLS})),
)
