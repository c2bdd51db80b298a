"""One execution is one trace, however long it waits, whoever goes on with it, and however often it begins anew."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.control_plane.tracing.collector import Collector, Span, named, one
from tests.control_plane.tracing.conftest import append
from tests.stack import Stack

TURNS = 6


def attempts(spans: Sequence[Span]) -> list[tuple[int, str]]:
    """The attempts by number, each with its end."""
    about = [span.attributes for span in named(spans, "invoke_agent")]
    return [(each["holdfast.attempt"], each["holdfast.attempt.end"]) for each in about]


async def traced_attempts(collecting: Collector, execution: str, count: int) -> list[Span]:
    """The execution's trace, once it has the workflow and so many attempts: each process exports its own."""
    await collecting.until(
        execution, lambda spans: bool(named(spans, "RunWorkflow")) and len(named(spans, "invoke_agent")) == count
    )
    return await collecting.trace(execution)


async def test_a_turn_that_waited_for_a_decision_goes_on_in_its_trace(
    traced: Stack, collecting: Collector, tmp_path: Path
) -> None:
    tool = {"type": "python", "functions": ["tests.tools:append_line"], "approval": "always"}
    await traced.agent("asking", toolsets=[tool])
    execution = await traced.start(f"[[{append(tmp_path / 'ledger', 'x')};; say done]]", "asking")
    await traced.until_status(execution, "waiting")
    (asked,) = (await traced.http.get("/api/v1/approvals", params={"execution_id": execution})).json()["items"]
    answer = await traced.http.post(f"/api/v1/approvals/{asked['id']}/approve", json={})
    assert answer.is_success, answer.text
    await traced.result(execution)

    spans = await traced_attempts(collecting, execution, 2)

    assert attempts(spans) == [(1, "suspended"), (2, "completed")]
    assert one(spans, "POST /api/v1/executions").parent_id == ""
    tool_call, above = one(spans, "execute_tool append_line"), named(spans, "invoke_agent")[1]
    assert (tool_call.parent_id, one(spans, "RunWorkflow").trace_id) == (above.span_id, above.trace_id)


async def test_a_turn_that_was_handed_over_goes_on_in_its_trace(
    traced: Stack, collecting: Collector, tmp_path: Path
) -> None:
    execution = await traced.start(f"[[{append(tmp_path / 'ledger', 'x')};; emit 300 @20;; say end]]", "tracer")
    await traced.until_event(execution, "message.delta")
    worker = traced.processes["default"]

    await asyncio.to_thread(worker.stop)
    worker.start()
    assert (await traced.result(execution, timeout=90))["response"].endswith("tok300 end")

    spans = await traced_attempts(collecting, execution, 2)
    assert attempts(spans) == [(1, "preempted"), (2, "completed")]
    assert len(named(spans, "execute_tool")) == 1
    assert {span.trace_id for span in named(spans, "RunActivity")} == {one(spans, "POST").trace_id}


async def test_a_conversation_that_began_anew_stays_in_its_trace(traced: Stack, collecting: Collector) -> None:
    execution = await traced.start("[[say 1]]", "tracer", interactive=True)
    for number in range(2, TURNS + 1):
        sent = await traced.http.post(f"/api/v1/executions/{execution}/messages", json={"content": f"[[say {number}]]"})
        assert sent.is_success, sent.text
    await traced.http.post(f"/api/v1/executions/{execution}/close")
    assert (await traced.result(execution, timeout=90))["response"] == str(TURNS)

    def has_begun_anew(spans: Sequence[Span]) -> bool:
        return len(named(spans, "RunWorkflow")) > 1 and len(named(spans, "invoke_agent")) == TURNS

    spans = await collecting.until(execution, has_begun_anew)

    assert attempts(spans) == [(number, "completed") for number in range(1, TURNS + 1)]
    begun = one(spans, "StartWorkflow:").trace_id
    assert {span.trace_id for span in (*named(spans, "RunWorkflow"), *named(spans, "invoke_agent"))} == {begun}
