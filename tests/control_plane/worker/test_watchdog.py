"""A worker whose event loop is blocked ends itself, and its turn is not lost."""

import json
import time

import pytest

from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.control_plane.worker import blocking_tools

MODULE = blocking_tools.__name__
SETTINGS = {"HOLDFAST_PYTHON_TOOL_MODULES": MODULE, "PYTHONPATH": str(ROOT), "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "3"}
#: Where its log says why.
TOLD = {"block": "event loop is blocked", "hold": "Timeout (0:00:22)!"}


@pytest.mark.parametrize("tool", TOLD)
async def test_a_blocked_worker_ends_itself_within_half_a_minute(new_stack: NewStack, tool: str) -> None:
    async with new_stack(settings=SETTINGS) as stack:
        toolsets = [{"type": "python", "functions": [f"{MODULE}:{tool}"]}]
        await stack.agent("blocking", runtime="default", model_id="scripted/scripted", toolsets=toolsets)
        execution = await stack.start(f"[[tool {tool} {json.dumps({'seconds': 300})};; say done]]", "blocking")
        await stack.until_event(execution, "tool.started")
        worker, began = stack.processes["default"], time.monotonic()

        async def has_ended() -> bool:
            return worker.popen is not None and worker.popen.poll() is not None

        await stack.until(has_ended, timeout=40)

        assert time.monotonic() - began < 30
        log = worker.log.read_text()
        assert TOLD[tool] in log
        assert "blocking_tools.py" in log
