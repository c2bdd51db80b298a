"""What a worker logs of a turn: whose it is and how it ended, in whose trace, and nothing that was said in it."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from tests.control_plane.tracing.collector import Collector, named
from tests.stack import Stack


def lines_of(stack: Stack, process: str, execution: str) -> list[dict[str, Any]]:
    """A process's log lines that name an execution."""
    written = stack.processes[process].log.read_text().splitlines()
    lines = [json.loads(line) for line in written if line.startswith("{")]
    return [line for line in lines if line.get("execution_id") == execution]


@pytest.mark.parametrize(("script", "status"), [("say {}", "completed"), ("error 401", "failed")])
async def test_a_turns_log_lines_name_its_execution_and_its_trace(
    traced: Stack, collecting: Collector, script: str, status: str
) -> None:
    secret = f"secret-{uuid4().hex}"
    execution = await traced.start(f"[[{script.format(secret)}]] {secret}", "tracer")
    await traced.until_status(execution, status)
    await traced.until(lambda: asyncio.to_thread(lines_of, traced, "default", execution))
    spans = await collecting.trace(execution)
    organization = named(spans, "POST")[0].attributes["holdfast.organization.id"]

    lines = lines_of(traced, "default", execution)
    (line,) = (line for line in lines if line["logger"].endswith("turn_log"))

    assert {(line["turn"], line["attempt"], line["organization_id"]) for line in lines} == {(1, 1, organization)}
    assert line["trace_id"] == named(spans, "invoke_agent")[0].trace_id
    assert line["span_id"] == named(spans, "RunActivity")[0].span_id
    assert (line["event"], line.get("status"), line.get("code")) in {
        ("attempt ended", "completed", None),
        ("attempt failed", None, "model_authentication"),
    }
    for process in traced.processes.values():
        told = process.log.read_text()
        assert not any(hidden in told for hidden in (secret, traced.worker_key, traced.api_key)), process.name
