"""Recorded histories replay with the present code; new ones are recorded by `python -m tests.histories`."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from control_plane.temporal import DATA_CONVERTER
from control_plane.worker.workflows import workflow_runner
from workflows.agent_execution import AgentExecutionWorkflow

HISTORIES = sorted((Path(__file__).parent.parent / "histories").glob("*.json"))


@pytest.mark.parametrize("recorded", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays(recorded: Path) -> None:
    replayer = Replayer(
        workflows=[AgentExecutionWorkflow],
        data_converter=DATA_CONVERTER,
        workflow_runner=workflow_runner(),
    )

    result = await replayer.replay_workflow(history_of(recorded))

    assert result.replay_failure is None


def history_of(recorded: Path) -> WorkflowHistory:
    """The history, under the id that its workflow had."""
    started = json.loads(recorded.read_text())["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(started["workflowId"], recorded.read_text())


def test_every_kind_of_end_is_recorded() -> None:
    kinds = {path.stem.split("-", 1)[1] for path in HISTORIES}

    assert kinds >= {
        "one-turn",
        "interactive",
        "cancelled",
        "failed",
        "started-by-temporal",
        "continued-as-new",
        "preempted",
        "interrupted",
        "interrupted-without-a-worker",
        "refused",
        "suspended",
        "decided-by-temporal",
        "parent",
        "child",
        "cancelled-without-a-pool",
        "waited-for-a-pool",
        "moved-to-a-newer-build",
        "cancelled-with-a-dead-worker",
        "interrupted-with-a-dead-worker",
        "overtaken",
        "waited-for-its-session",
        "from-a-loose-client",
        "odd-signals",
    }
