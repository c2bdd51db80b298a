"""The logs of all processes at DEBUG: they tell much, and nothing of what was said, unless content is switched on."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError

from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.environments import is_here
from tests.runtimes.sandboxes import needs_sandbox
from tests.services.tools import mcp_server
from tests.stack import Stack

WIRES = {"claude_code": "anthropic_scripted/claude-sonnet-5"}
RUNTIMES = ("default", "native", "langgraph", "openai_agents", "crewai", "claude_code")
SETTINGS = {
    "HOLDFAST_LOG_LEVEL": "debug",
    "HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools",
    "HOLDFAST_SANDBOX_PATHS": f"{ROOT},{sys.base_prefix}",
    "HOLDFAST_MCP_COMMANDS": sys.executable,
    "PYTHONPATH": str(ROOT),
}
SCHEMA = {"type": "object", "properties": {"answer": {"enum": ["other"]}}, "required": ["answer"]}


@pytest.fixture(scope="module")
async def talking(new_stack: NewStack) -> AsyncGenerator[Stack]:
    pools = tuple(runtime for runtime in RUNTIMES if is_here(runtime))
    async with new_stack(pools=pools, settings=SETTINGS) as stack:
        yield stack


def processes(stack: Stack) -> Sequence[str]:
    """Those that are ours and no double."""
    return [name for name in stack.processes if name not in ("temporal", "model")]


def told(stack: Stack, secret: str) -> list[str]:
    """The lines of all logs that have what must not be in them."""
    lines = [(name, line) for name in processes(stack) for line in stack.processes[name].log.read_text().splitlines()]
    return [f"{name}: {line[:300]}" for name, line in lines if secret in line]


async def from_temporal(stack: Stack, agent: str, secret: str) -> None:
    """Executions whose prompts are in Temporal, of which one cannot be run."""
    agent_id = (await stack.http.get(f"/api/v1/agents/{agent}")).json()["id"]
    for prompt in (f"[[say {secret}]]", [secret]):
        body = {"agent_id": agent_id, "prompt": prompt}
        handle = await stack.temporal.start_workflow(
            "AgentExecutionWorkflow", body, id=f"talk-{uuid4()}", task_queue="holdfast"
        )
        with suppress(WorkflowFailureError):
            await handle.result()


@needs_sandbox
@pytest.mark.timeout(400)
@pytest.mark.parametrize("runtime", [runtime for runtime in RUNTIMES if is_here(runtime)])
async def test_no_log_has_a_word_of_what_was_said(talking: Stack, tmp_path: Path, runtime: str) -> None:
    secret, name = f"canary{uuid4().hex}", f"talking-{runtime}"
    server = {"command": [sys.executable, str(mcp_server.__file__)]}
    tools = [
        {"type": "python", "functions": ["tests.tools:append_line", "tests.tools:fail"]},
        {"type": "mcp", "servers": {"samples": server}},
    ]
    await talking.agent(
        name,
        runtime=runtime,
        model_id=WIRES.get(runtime, "scripted/scripted"),
        system_prompt=f"You know {secret}.",
        toolsets=tools,
    )
    call = json.dumps({"path": str(tmp_path / "ledger"), "line": secret})
    scripts = [
        f"tool append_line {call};; tool fail {json.dumps({'reason': secret})};; think {secret};; say {secret}",
        f"error 400 code {secret}",
        f'tool append_line {{"path": "{secret}", broken;; say {secret}',
    ]
    for script in scripts:
        execution = await talking.start(f"[[{script}]] {secret}", name)
        await talking.result(execution)
        await talking.log(execution)
    answer = json.dumps({"answer": secret})
    shaped = await talking.start(f"[[json {answer};; next;; json {answer}]]", name, output_schema=SCHEMA)
    await talking.result(shaped)
    assert secret in (await talking.get(shaped))["error"]["message"]
    await from_temporal(talking, name, secret)
    await talking.http.post("/api/v1/executions", json={"agent_id": name, "prompt": [secret], secret: secret})
    await talking.http.post("/api/v1/executions", content=f'{{"prompt": "{secret}')

    assert told(talking, secret) == []


_LINES = """
import logging
from control_plane.settings import LogFormat, LogLevel
from control_plane.telemetry import configure_logging
configure_logging(LogLevel.DEBUG, LogFormat.JSON)
logging.getLogger("openai").debug("a request: %s", "secret")
logging.getLogger("mcp").warning("a notification: secret")
logging.warning("a notification: %s", "secret")
logging.getLogger("services.some").debug("ours")
try:
    raise ValueError("secret") from KeyError("secret")
except ValueError as error:
    logging.getLogger("temporalio.activity").warning("Completing activity as failed", exc_info=error)
"""


def logged(**environment: str) -> list[dict[str, Any]]:
    """The lines that a process writes at DEBUG."""
    ran = subprocess.run(
        [sys.executable, "-c", _LINES], env=os.environ | environment, stderr=PIPE, check=True, cwd=ROOT
    )
    return [json.loads(line) for line in ran.stderr.decode().splitlines()]


def test_a_library_s_line_tells_where_it_is_from() -> None:
    warned, bare, ours, failed = logged()

    assert warned["event"] == bare["event"] == "a library's line, whose text is not told"
    assert warned["line"] == "<string>:7"
    assert ours["event"] == "ours"
    assert "builtins.KeyError\n" in failed["exception"]
    assert "secret" not in json.dumps([warned, bare, ours, failed]).replace('raise ValueError(\\"secret\\")', "")


def test_all_is_logged_where_content_is_switched_on() -> None:
    debug, warned, bare, _, failed = logged(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true")

    assert [line["event"] for line in (debug, warned, bare)] == [
        "a request: secret",
        "a notification: secret",
        "a notification: secret",
    ]
    assert "ValueError: secret" in failed["exception"]
