"""One execution is one trace, whoever starts it, and however many workers it takes."""

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.control_plane.tracing.collector import Collector, named, one, tree
from tests.control_plane.tracing.conftest import COLLECTORS_KEY, append
from tests.services.tools import mcp_server
from tests.stack import Process, Stack

SCOPES = {"fastapi", "holdfast", "temporalio.contrib.opentelemetry._otel_interceptor"}
CHAIN = (
    ("POST /api/v1/executions", "holdfast-api", "SERVER"),
    ("StartWorkflow:AgentExecutionWorkflow", "holdfast-api", "CLIENT"),
    ("RunWorkflow:AgentExecutionWorkflow", "holdfast-workflow-worker", "SERVER"),
    ("StartActivity:execute_agent_llm", "holdfast-workflow-worker", "CLIENT"),
    ("RunActivity:execute_agent_llm", "holdfast-worker", "SERVER"),
    ("invoke_agent tracer", "holdfast-worker", "INTERNAL"),
)


async def test_an_execution_is_one_trace_from_the_request_to_the_tool(
    traced: Stack, collecting: Collector, tmp_path: Path
) -> None:
    secret = f"secret-{uuid4().hex}"
    execution = await traced.start(f"[[{append(tmp_path / secret, secret)};; result]] {secret}", "tracer")
    result = await traced.result(execution)

    spans = await collecting.trace(execution)

    assert secret in result["response"]
    above = ""
    for name, service, kind in CHAIN:
        span = one(spans, name)
        assert (span.service, span.kind, span.parent_id) == (service, kind, above), tree(spans)
        above = span.span_id
    steps = sorted((span for span in spans if span.parent_id == above), key=lambda span: span.start)
    assert [(step.name, step.kind) for step in steps] == [
        ("chat scripted", "CLIENT"),
        ("execute_tool append_line", "INTERNAL"),
        ("chat scripted", "CLIENT"),
    ]
    assert len(spans) == len(CHAIN) + len(steps)
    assert not any(span.is_error for span in spans)
    assert {span.scope for span in collecting.spans} <= SCOPES
    assert not any(secret.encode() in raw or traced.api_key.encode() in raw for raw in collecting.raw)


async def test_a_callers_trace_goes_on_through_the_execution(traced: Stack, collecting: Collector) -> None:
    trace_id, parent = uuid4().hex, uuid4().hex[:16]
    headers = {"traceparent": f"00-{trace_id}-{parent}-01"}
    body = {"agent_id": "tracer", "prompt": "[[say hello]]"}

    created = await traced.http.post("/api/v1/executions", json=body, headers=headers)
    spans = await collecting.trace(created.json()["id"])

    assert {span.trace_id for span in spans} == {trace_id}
    assert one(spans, "POST").parent_id == parent


async def test_an_execution_that_temporals_client_starts_is_one_trace_from_its_workflow_on(
    traced: Stack, collecting: Collector
) -> None:
    execution = str(uuid4())
    handle = await traced.temporal.start_workflow(
        "AgentExecutionWorkflow",
        {"agent_id": "tracer", "prompt": "[[say hello]]", "execution_id": execution},
        id=f"traced-{execution}",
        task_queue="holdfast",
    )
    await handle.result()

    spans = await collecting.trace(execution)

    workflow = one(spans, "RunWorkflow")
    assert workflow.parent_id == ""
    begun = [span.name for span in spans if span.parent_id == workflow.span_id]
    assert begun == ["StartActivity:admit_execution", "StartActivity:execute_agent_llm"]
    assert one(spans, "RunActivity:admit_execution").parent_id == one(spans, "StartActivity:admit").span_id
    assert one(spans, "chat").parent_id == one(spans, "invoke_agent").span_id


async def test_an_execution_that_another_one_starts_hangs_on_the_tool_call_that_started_it(
    traced: Stack, collecting: Collector
) -> None:
    call = 'tool run_agent {"agent": "inner", "prompt": "hello"}'
    execution = await traced.start(f"[[{call};; result]]", "outer")
    await traced.result(execution)

    spans = await collecting.until(execution, lambda spans: len(named(spans, "RunWorkflow")) == 2)

    started = named(spans, "StartWorkflow")[1]
    above = next(span for span in spans if span.span_id == started.parent_id)
    assert above.name == "execute_tool run_agent"
    assert one(spans, "invoke_agent inner").trace_id == one(spans, "POST").trace_id


async def test_attempts_after_a_lost_worker_are_in_the_same_trace(
    traced: Stack, collecting: Collector, tmp_path: Path
) -> None:
    calls = f"{append(tmp_path / 'done', 'x')};; {append(tmp_path / 'lost', 'y', 'append_and_linger')}"
    execution = await traced.start(f"[[{calls};; say z]]", "tracer")
    await traced.until(lambda: asyncio.to_thread((tmp_path / "lost").exists))
    await collecting.until(execution, lambda spans: len(named(spans, "chat")) == 2)
    worker = traced.processes["default"]
    worker.kill()
    worker.start()
    await traced.result(execution, timeout=90)

    spans = await collecting.trace(execution)

    agent, asked = one(spans, "invoke_agent"), named(spans, "chat")
    assert agent.attributes["holdfast.attempt"] == 2
    told = [(name, event["holdfast.step.ordinal"], event["holdfast.step.name"]) for name, event in agent.events]
    assert told == [
        ("holdfast.step.replayed", 1, "scripted"),
        ("holdfast.step.replayed", 2, "append_line"),
        ("holdfast.step.replayed", 3, "scripted"),
        ("holdfast.step.outcome_unknown", 4, "append_and_linger"),
    ]
    assert [span.attributes["holdfast.attempt"] for span in asked] == [1, 1, 2]
    assert len(await traced.model_calls(str(tmp_path))) == len(asked)
    assert len({span.trace_id for span in (*asked, agent, one(spans, "POST"))}) == 1


@pytest.mark.parametrize("now_traced", [True, False])
async def test_a_history_replays_whether_or_not_its_workflow_worker_traced(traced: Stack, now_traced: bool) -> None:
    workers = {True: traced.processes["workflows"], False: _untraced(traced)}
    workers[True].stop()
    await _at_work(traced, workers[not now_traced])
    execution = await traced.start("[[say one]]", "tracer", interactive=True)
    await traced.until_event(execution, "turn.completed")
    workers[not now_traced].kill()
    await _at_work(traced, workers[now_traced])

    sent = await traced.http.post(f"/api/v1/executions/{execution}/messages", json={"content": "[[say two]]"})
    assert sent.is_success, sent.text
    await traced.http.post(f"/api/v1/executions/{execution}/close")

    assert (await traced.result(execution, timeout=90))["response"] == "two"
    workers[now_traced].stop()
    await _at_work(traced, workers[True])


async def _at_work(stack: Stack, worker: Process) -> None:
    """Start a worker, and wait until it takes work."""

    async def is_ready() -> bool:
        return worker.log.read_text().count("worker ready") > before

    before = worker.log.read_text().count("worker ready") if worker.log.exists() else 0
    worker.start()
    await stack.until(is_ready)


def _untraced(stack: Stack) -> Process:
    silent = {"OTEL_SDK_DISABLED": "true"}
    traced = stack.processes["workflows"]
    return stack.add("untraced", "worker", "--workflows", environment={**traced.environment, **silent})


async def test_probes_streams_and_workers_requests_get_no_span(traced: Stack, collecting: Collector) -> None:
    execution = await traced.start("[[emit 20]]", "tracer")
    await traced.log(execution)
    await traced.result(execution)
    await traced.http.get("/health/live")

    await collecting.trace(execution)

    asked = {span.name for span in collecting.spans if span.service == "holdfast-api" and span.kind == "SERVER"}
    assert "GET /api/v1/executions/{execution_id}/result" in asked
    assert not any("/internal/" in name or "/health/" in name or name.endswith("/events") for name in asked)


async def test_the_collectors_key_goes_to_the_collector_only(traced: Stack, collecting: Collector) -> None:
    execution = await traced.start("[[tool variables {};; result]]", "tracer")
    found = (await traced.result(execution))["response"]

    await collecting.trace(execution)

    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found
    assert COLLECTORS_KEY not in found
    assert {headers.get("x-key") for headers in collecting.headers} == {COLLECTORS_KEY}


async def test_an_mcp_server_is_told_of_the_trace_and_not_what_the_caller_put_beside_it(
    traced: Stack, collecting: Collector
) -> None:
    trace_id, baggage = uuid4().hex, f"secret-{uuid4().hex}"
    server = {"command": [sys.executable, str(mcp_server.__file__)]}
    await traced.agent("with-mcp", toolsets=[{"type": "mcp", "servers": {"samples": server}}])
    headers = {"traceparent": f"00-{trace_id}-{uuid4().hex[:16]}-01", "baggage": f"user={baggage}"}
    body = {"agent_id": "with-mcp", "prompt": "[[tool samples__told {};; result]]"}

    created = await traced.http.post("/api/v1/executions", json=body, headers=headers)
    told = (await traced.result(created.json()["id"]))["response"]

    spans = await collecting.trace(created.json()["id"])
    assert f"00-{trace_id}-{one(spans, 'execute_tool').span_id}-01" in told
    assert "baggage" not in told
    assert baggage not in told


async def test_a_name_that_the_model_made_up_names_no_span(traced: Stack, collecting: Collector) -> None:
    name = f"made_up_{uuid4().hex[:8]}"
    execution = await traced.start(f"[[tool {name} {{}};; say done]]", "tracer")
    await traced.result(execution)

    spans = await collecting.trace(execution)

    assert name not in " ".join(span.name for span in spans)
    assert one(spans, "execute_tool").name == "execute_tool"
