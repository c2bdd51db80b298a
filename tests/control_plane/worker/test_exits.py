"""Exits of tools: they end no worker; what ends the event loop ends the process, and the turns go on elsewhere."""

from collections.abc import AsyncGenerator

import pytest

from control_plane.worker.watchdog import HUNG
from tests.architecture.source import ROOT
from tests.conftest import NewStack
from tests.control_plane.worker import leaving_tools
from tests.control_plane.worker.leaving_tools import ENDS, LEAVES
from tests.invariants import assert_ended_well
from tests.stack import Stack

MODULE = leaving_tools.__name__
SETTINGS = {"HOLDFAST_PYTHON_TOOL_MODULES": MODULE, "PYTHONPATH": str(ROOT), "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "3"}


@pytest.fixture(scope="module")
async def own(new_stack: NewStack) -> AsyncGenerator[Stack]:
    async with new_stack(settings=SETTINGS) as stack:
        functions = [f"{MODULE}:{name}" for name in (*LEAVES, *ENDS)]
        toolsets = [{"type": "python", "functions": functions}]
        await stack.agent("leaving", runtime="default", model_id="scripted/scripted", toolsets=toolsets)
        yield stack


@pytest.mark.parametrize("tool", LEAVES)
async def test_a_tool_that_exits_has_failed_and_its_worker_and_its_neighbour_go_on(own: Stack, tool: str) -> None:
    worker = own.processes["default"]
    pid = worker.pid
    neighbour = await own.start("[[emit 60 @20;; say done]]", "leaving")
    await own.until_event(neighbour, "attempt.started")

    execution = await own.start(f"[[tool {tool} {{}};; result]]", "leaving")

    await own.result(execution)
    await own.result(neighbour)
    events = await assert_ended_well(own, execution)
    (completed,) = [event for event in events if event["type"] == "tool.completed"]
    assert completed["data"]["is_error"]
    assert "SystemExit: 3" in completed["data"]["result"]
    assert (await own.types(neighbour)).count("attempt.started") == 1
    assert worker.popen is not None
    assert (worker.pid, worker.popen.poll()) == (pid, None)


@pytest.mark.parametrize("tool", ENDS)
async def test_a_worker_whose_loop_ends_ends_too_and_its_turn_goes_on(own: Stack, tool: str) -> None:
    worker = own.processes["default"]
    execution = await own.start(f"[[tool {tool} {{}};; say done]]", "leaving")

    async def has_ended() -> bool:
        return worker.popen is not None and worker.popen.poll() is not None

    await own.until(has_ended, timeout=15)

    assert worker.popen is not None
    assert worker.popen.returncode == HUNG
    assert "event loop has ended in the middle of its work" in worker.log.read_text()
    worker.start()
    await own.result(execution)
    await assert_ended_well(own, execution)
