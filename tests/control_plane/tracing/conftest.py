"""A stack whose processes export their traces, and the collector that gets them."""

import json
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.control_plane.tracing.collector import Collector, collector
from tests.stack import Stack

#: What lets a worker into the collector: nobody else's business.
COLLECTORS_KEY = f"collectors-{uuid4().hex}"


@pytest.fixture(scope="package")
async def collecting() -> AsyncGenerator[Collector]:
    async with collector() as running:
        yield running


@pytest.fixture(scope="package")
async def traced(new_stack: NewStack, collecting: Collector) -> AsyncGenerator[Stack]:
    """Its logs are JSON. The agent `tracer` has a tool, `outer` runs `inner`."""
    settings = {
        "HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools",
        "PYTHONPATH": str(ROOT),
        "HOLDFAST_LOG_FORMAT": "json",
        "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "10",
        "HOLDFAST_SANDBOX_PATHS": f"{ROOT},{sys.base_prefix}",
        "HOLDFAST_MCP_COMMANDS": sys.executable,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={COLLECTORS_KEY}",
    }
    long = ("limit.historyCount.suggestContinueAsNew=40",)
    async with new_stack(settings=settings | collecting.settings, dynamic_config=long) as stack:
        tools = [
            "tests.tools:append_line",
            "tests.tools:fail",
            "tests.tools:append_and_linger",
            "tests.tools:variables",
        ]
        await stack.agent("tracer", toolsets=[{"type": "python", "functions": tools}])
        await stack.agent("inner")
        await stack.agent("outer", toolsets=[{"type": "task", "agents": ["inner"]}])
        yield stack


def append(ledger: Path, line: str, tool: str = "append_line") -> str:
    """The direction that has the model call a tool."""
    return f"tool {tool} {json.dumps({'path': str(ledger), 'line': line})}"
