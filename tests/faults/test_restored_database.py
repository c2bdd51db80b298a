"""A database that is brought back from its backup, with a Temporal that went on since, and with an empty one."""

import os
import sys
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from control_plane.local.postgres import postgres_binaries
from db.migrate import upgrade
from tests.conftest import NewStack
from tests.docs.markdown import Document
from tests.docs.shell import run_script
from tests.invariants import assert_ended_well
from tests.postgres import database_url, embedded_postgres, execute
from tests.stack import Stack

#: Two servers, two stacks, and a backup between them.
pytestmark = pytest.mark.timeout(600)

PAGE = Document("docs/operations.md")
TOOL = {"type": "python", "functions": ["tests.tools:append_line"], "approval": "always"}
LINGERING = {"type": "python", "functions": ["tests.tools:append_and_linger"]}
SETTINGS = {
    "HOLDFAST_PYTHON_TOOL_MODULES": "tests.tools",
    "PYTHONPATH": str(Path(__file__).parent.parent.parent),
    "HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS": "3",
    "HOLDFAST_RECONCILE_INTERVAL_SECONDS": "1",
}
#: What the backup has of executions that ended after it, and the last word of what they really answered.
SEEN = {"overtaken": ["execution.accepted", "turn.started", "attempt.started"], "queued": ["execution.accepted"]}
LAST = {"overtaken": "end", "queued": "queued"}


@dataclass(frozen=True, slots=True)
class Backed:
    """A stack on a database that was brought back, and executions by what they did at the time of the backup."""

    stack: Stack
    executions: dict[str, str]
    ledger: Path
    #: The URL of one more database that was brought back.
    copy: str


@pytest.fixture(scope="module")
def servers() -> Generator[tuple[str, str]]:
    """URLs of two servers: one with our schema, and an empty one."""
    with embedded_postgres() as first, embedded_postgres() as second:
        upgrade(first.url)
        yield first.url, second.url


@pytest.fixture(scope="module")
async def backed(
    servers: tuple[str, str], new_stack: NewStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Backed]:
    place = tmp_path_factory.mktemp("backup")
    ledger = place / "ledger"
    async with new_stack(database_url=servers[0], settings=SETTINGS) as stack:
        await stack.agent("asks-first", toolsets=[TOOL])
        await stack.agent("lingers", toolsets=[LINGERING])
        before = await until_the_backup(stack, ledger)
        document("backup", servers[0], place)
        after = await since_the_backup(stack, before, ledger)

        for name in ("api", "workflows", "default"):
            stack.processes[name].kill()
        document("restore", servers[1], place)
        copy = database_url(servers[1], "copy")
        execute(servers[1], "CREATE DATABASE copy TEMPLATE postgres")
        stack.processes["api"].environment = {**stack.processes["api"].environment, "HOLDFAST_DATABASE_URL": servers[1]}
        for name in ("api", "workflows", "default"):
            stack.processes[name].start()
        await stack.until(stack.is_ready)
        yield Backed(stack, before | after, ledger, copy)


async def until_the_backup(stack: Stack, ledger: Path) -> dict[str, str]:
    """One execution that has ended, one that waits for a human, two in the middle of a turn, one that is queued."""
    asking, lingering = (f'{{"path": "{ledger}", "line": "{name}"}}' for name in ("asked", "running"))
    ended = await stack.start("[[say ended]]")
    await stack.result(ended)
    asked = await stack.start(f"[[tool append_line {asking};; say end]]", "asks-first")
    await stack.until_event(asked, "approval.requested")
    running = await stack.start(f"[[emit 120 @20;; tool append_and_linger {lingering};; say end]]", "lingers")
    overtaken = await stack.start("[[emit 120 @20;; say end]]")
    for execution in (running, overtaken):
        await stack.until_event(execution, "message.delta")
    stack.processes["default"].kill()
    queued = await stack.start("[[say queued]]")
    return {"ended": ended, "asked": asked, "running": running, "overtaken": overtaken, "queued": queued}


async def since_the_backup(stack: Stack, before: dict[str, str], ledger: Path) -> dict[str, str]:
    """What was in the middle ends, but for one, whose tool has an effect; two more begin, of which one ends."""
    stack.processes["default"].start()
    for name in ("overtaken", "queued"):
        await stack.result(before[name])
    later = await stack.start("[[say later]]")
    await stack.result(later)
    unfinished = await stack.start("[[hang]]")
    await stack.until_event(unfinished, "attempt.started")
    await stack.until(lambda: _is_there(ledger))
    return {"later": later, "unfinished": unfinished}


async def _is_there(ledger: Path) -> bool:
    return ledger.exists()


def document(kind: str, url: str, place: Path) -> None:
    """Do what the page says."""
    path = f"{Path(sys.executable).parent}:{postgres_binaries()}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(place), "HOLDFAST_DATABASE_URL": url}
    run_script(PAGE.blocks(f"bash {kind}"), environment, place)


async def test_what_had_ended_is_there(backed: Backed) -> None:
    await assert_ended_well(backed.stack, backed.executions["ended"])

    assert (await backed.stack.result(backed.executions["ended"]))["response"] == "ended"


async def test_a_turn_that_temporal_still_runs_goes_on_and_repeats_what_the_backup_has_not(backed: Backed) -> None:
    result = await backed.stack.result(backed.executions["running"])

    assert result["response"].endswith("end")
    await assert_ended_well(backed.stack, backed.executions["running"])
    assert backed.ledger.read_text().splitlines().count("running") == 2


async def test_a_decision_that_is_still_owed_is_taken(backed: Backed) -> None:
    execution = backed.executions["asked"]
    (asked,) = (await backed.stack.http.get("/api/v1/approvals", params={"execution_id": execution})).json()["items"]

    answer = await backed.stack.http.post(f"/api/v1/approvals/{asked['id']}/approve", json={})

    assert answer.is_success, answer.text
    assert (await backed.stack.result(execution))["response"] == "end"
    assert backed.ledger.read_text().splitlines().count("asked") == 1


@pytest.mark.parametrize("name", ["overtaken", "queued"])
async def test_what_ended_since_is_recorded_without_its_answer(backed: Backed, name: str) -> None:
    execution = backed.executions[name]
    await backed.stack.until_status(execution, "completed")

    told = await backed.stack.temporal.get_workflow_handle(f"agent-execution/{execution}").result()

    assert (await backed.stack.get(execution))["response"] is None
    assert await backed.stack.types(execution) == [*SEEN[name], "execution.completed"]
    assert told["response"].split()[-1] == LAST[name]


@pytest.mark.parametrize(("name", "status"), [("later", "COMPLETED"), ("unfinished", "FAILED")])
async def test_what_began_since_is_not_there_and_ends_in_temporal(backed: Backed, name: str, status: str) -> None:
    execution = backed.executions[name]
    workflow = backed.stack.temporal.get_workflow_handle(f"agent-execution/{execution}")

    async def has_ended() -> bool:
        described = (await workflow.describe()).status
        return described is not None and described.name == status

    await backed.stack.until(has_ended)
    assert (await backed.stack.http.get(f"/api/v1/executions/{execution}")).status_code == 404


async def test_with_an_empty_temporal_what_had_begun_fails_and_what_had_not_begins(
    backed: Backed, tmp_path: Path
) -> None:
    ends = {"ended": "completed", "queued": "completed"} | dict.fromkeys(("asked", "running", "overtaken"), "failed")

    async with Stack(tmp_path, backed.copy, settings=SETTINGS, pools=("default",)) as stack:
        for name, status in ends.items():
            await stack.until_status(backed.executions[name], status)
        lost = [
            (await stack.get(backed.executions[name]))["error"]["code"] for name in ("asked", "running", "overtaken")
        ]
        queued = await stack.result(backed.executions["queued"])

    assert set(lost) == {"workflow_lost"}
    assert queued["response"] == "queued"
