"""Traces of frameworks that trace themselves or phone home, and of a worker that may tell what was said."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.control_plane.tracing.collector import Collector, named, one
from tests.control_plane.tracing.conftest import append
from tests.environments import ELSEWHERE, holdfast_of
from tests.stack import Stack

CAPTURING = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    "OTEL_TRACES_EXPORTER": "otlp,console",
    "OTEL_SERVICE_NAME": "telling",
}


async def agent_of(stack: Stack, runtime: str, environment: dict[str, str] | None = None) -> str:
    """An agent with a tool, and a worker that serves its runtime."""
    if runtime in ELSEWHERE:
        holdfast_of(runtime)
    worker = stack.add_worker(runtime)
    worker.environment = {**worker.environment, **(environment or {})}
    worker.start()
    name = f"traced-{runtime}"
    tool = {"type": "python", "functions": ["tests.tools:append_line"]}
    await stack.agent(name, runtime=runtime, toolsets=[tool])
    return name


@pytest.mark.timeout(400)
@pytest.mark.parametrize("runtime", ["crewai", "openai_agents"])
async def test_a_framework_with_telemetry_of_its_own_adds_nothing_and_takes_nothing_away(
    traced: Stack, collecting: Collector, tmp_path: Path, runtime: str
) -> None:
    agent, secret = await agent_of(traced, runtime), f"secret-{uuid4().hex}"
    execution = await traced.start(f"[[{append(tmp_path / 'ledger', secret)};; say {secret}]]", agent)
    result = await traced.result(execution, timeout=200)
    assert result["success"], result

    spans = await collecting.trace(execution)

    names = [span.name for span in spans if span.name.startswith(("chat", "execute_tool"))]
    assert names == ["chat scripted", "execute_tool append_line", "chat scripted"]
    assert {span.scope.split(".")[0] for span in collecting.spans} <= {"fastapi", "holdfast", "temporalio"}
    assert not any(secret.encode() in raw for raw in collecting.raw)


@pytest.mark.timeout(400)
async def test_a_worker_that_is_told_to_exports_what_was_said(
    traced: Stack, collecting: Collector, tmp_path: Path
) -> None:
    agent, secret = await agent_of(traced, "native", CAPTURING), f"secret-{uuid4().hex}"
    prompt = f"[[{append(tmp_path / 'ledger', secret)};; say {secret} done]]"
    execution = await traced.start(prompt, agent)
    await traced.result(execution, timeout=200)

    spans = await collecting.trace(execution)

    above, tool = one(spans, "invoke_agent").attributes, one(spans, "execute_tool").attributes
    asked, answered = (json.loads(above[f"gen_ai.{way}.messages"])[0] for way in ("input", "output"))
    assert asked == {"role": "user", "parts": [{"type": "text", "content": prompt}]}
    assert answered == {"role": "assistant", "parts": [{"type": "text", "content": f"{secret} done"}]}
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"path": str(tmp_path / "ledger"), "line": secret}
    assert tool["gen_ai.tool.call.result"] == f"wrote {secret}"
    assert {span.service for span in named(spans, "chat")} == {"telling"}
    said = traced.processes["native"].log.read_text()
    assert '"name": "execute_tool append_line"' in said
