"""The rules that the gateways see to, whatever a framework or its adapter does: a careless one passes these, too."""

from functools import partial
from typing import Any
from uuid import uuid4

from runtimes.types import Capability, Wire
from services.conformance.bench import Bench, Case, Taken, done
from services.conformance.scenario import NotHere, Scenario, expect, expect_success, expect_that
from services.control_plane_client.models import NewEvent, StepKind
from services.model_gateway.parameters import SAMPLING

_TOOLS = frozenset({Capability.TOOLS})


async def no_default_for(written: str, bench: Bench) -> None:
    """Arguments that are no JSON object do not become those that the tool would take by itself."""
    if bench.wire is Wire.ANTHROPIC and written.startswith("["):
        raise NotHere("the calls of this wire have an object, or one that is cut")
    taken = await bench.run(Case(f"[[tool wipe {written};; say so be it]]", functions=["wipe"]))

    expect_success(taken)
    expect("what was wiped", _ran(taken), [])


async def no_arguments(bench: Bench) -> None:
    taken = await bench.run(Case("[[tool wipe {};; result]]", functions=["wipe"]))

    expect_success(taken)
    expect("what was wiped", _ran(taken), ["wiped /everything"])


async def cut_answer(finish: str, bench: Bench) -> None:
    """Calls of an answer that was cut or filtered do not run."""
    ledger = bench.directory / f"ledger-{uuid4().hex}"
    call = f'note {{"path": "{ledger}", "line": "one"}}'

    script = f"[[finish {finish};; say Let me note.;; tool {call};; say and so on]]"

    taken = await bench.run(Case(script, functions=["note"]))

    expect_that(not ledger.exists(), f"a call of an answer that ended with '{finish}' was run")
    expect("tool calls that began", _of(taken, "tool.started"), [])
    ends = [(event.data["name"], event.data["is_error"]) for event in _of(taken, "tool.completed")]
    expect("tool calls that ended", ends, [("note", True)])
    texts = [event.data["text"] for event in _of(taken, "message.completed")]
    expect_that(texts.count("Let me note.") <= 1, f"the text beside the call was told twice: {texts}")


async def unknown_tool_told(bench: Bench) -> None:
    taken = await bench.run(Case('[[tool nosuch {"a": 1};; say so be it]]', functions=["add"]))

    expect_success(taken)
    expect("tool calls that began", _of(taken, "tool.started"), [])
    ends = [(event.data["name"], event.data["is_error"]) for event in _of(taken, "tool.completed")]
    expect("tool calls that ended", ends, [("nosuch", True)])


async def same_tool_twice(bench: Bench) -> None:
    """Two calls of one tool at once, each with its own arguments and its own result."""
    script = '[[tool add {"a": 1, "b": 1} && add {"a": 2, "b": 3};; say done]]'

    taken = await bench.run(Case(script, functions=["add"]))

    expect_success(taken)
    expect("results", sorted(_ran(taken)), ["2", "5"])


async def nothing_unasked(bench: Bench) -> None:
    taken = await bench.run(Case("[[say hello]]"))

    expect_success(taken)
    sent: list[Any] = [name for call in taken.calls for name in sorted(SAMPLING & set(call.body))]
    expect("parameters that the agent does not set", sent, [])


def _ran(taken: Taken) -> list[str]:
    steps = done(taken, StepKind.TOOL_CALL)
    return [step.response["text"] for step in steps if not step.response["is_error"]]


def _of(taken: Taken, kind: str) -> list[NewEvent]:
    return [event for event in taken.record.events if event.type == kind]


SCENARIOS = (
    Scenario("broken arguments and a default", partial(no_default_for, '{"path": "/tmp'), needs=_TOOLS),
    Scenario("a list in place of arguments", partial(no_default_for, '["/tmp"]'), needs=_TOOLS),
    Scenario("a call without arguments", no_arguments, needs=_TOOLS),
    Scenario("calls of an answer cut by length", partial(cut_answer, "length"), needs=_TOOLS),
    Scenario("calls of a filtered answer", partial(cut_answer, "content_filter"), needs=_TOOLS),
    Scenario("unknown tool in the log", unknown_tool_told, needs=_TOOLS),
    Scenario("the same tool twice at once", same_tool_twice, needs=_TOOLS),
    Scenario("no parameters of its own", nothing_unasked),
)
