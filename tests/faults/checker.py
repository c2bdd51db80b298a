"""The invariants of the design over all witnesses of an execution: the first one violated is named, with ids.

I8 and I10 have suites of their own (tenancy, replay).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from runtimes.types import Usage
from tests.faults.evidence import Evidence, gathered, idle_transactions
from tests.faults.field import Field, Run
from tests.invariants import CLOSED_AS, open_calls
from tests.stack import TERMINAL, Event

#: Seconds in which what belonged to a killed worker has to be gone, and a workflow closed after its turn.
SETTLE_SECONDS = 20.0


class InvariantViolated(AssertionError):
    """A promise was broken; the message begins with its number and the execution's id."""


async def check(field: Field, run: Run, status: str = "completed", but: str = "") -> Evidence:
    """Check an execution that has ended, `but` for one invariant; gives what the witnesses said.

    Raises:
        InvariantViolated: the first promise that was broken.
    """
    evidence = await settled(field, run, status)
    if violation := first_violation(evidence, but):
        raise InvariantViolated(violation)
    return evidence


def first_violation(evidence: Evidence, but: str = "") -> str | None:
    """The first promise that was broken: its number, the execution's id, and what is wrong."""
    for name, invariant in INVARIANTS.items():
        for problem in invariant(evidence) if name != but else ():
            return f"{name}, execution {evidence.id}: {problem}"
    return None


async def check_stack(field: Field) -> None:
    """Check what is not one execution's: I2 over all of them, and I9 in the database.

    Raises:
        InvariantViolated: the first promise that was broken.
    """
    workflows = {workflow.id.removeprefix("agent-execution/") async for workflow in field.temporal.list_workflows()}
    if ghosts := workflows - set(field.started):
        raise InvariantViolated(f"I2: nobody asked for {sorted(ghosts)}")
    if idle := await idle_transactions(field):
        raise InvariantViolated(f"I9: connections idle in transaction: {idle}")


async def settled(field: Field, run: Run, status: str = "completed") -> Evidence:
    """The evidence, once the workflow has closed, the readers have read, and nothing of the dead lives."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    await asyncio.wait([follower.task for follower in run.followers], timeout=SETTLE_SECONDS)
    while True:
        evidence = await gathered(field, run, status)
        settled = evidence.temporal == CLOSED_AS[status] and not evidence.survivors
        if settled or asyncio.get_running_loop().time() > deadline:
            return evidence
        await asyncio.sleep(0.2)


def one_terminal_state(evidence: Evidence) -> Iterator[str]:
    """I1: log, database and Temporal agree on exactly one end, the right one."""
    status = evidence.execution["status"]
    if status != evidence.expected:
        yield f"it is {status}, not {evidence.expected}: {evidence.execution['error']}"
    ends = [event["type"] for event in evidence.events if event["type"].removeprefix("execution.") in TERMINAL]
    if ends != [f"execution.{status}"]:
        yield f"the log ends with {ends}, the database says {status}"
    if evidence.temporal != CLOSED_AS[status]:
        yield f"Temporal says {evidence.temporal}, the database {status}"


def numbered_without_gaps(evidence: Evidence) -> Iterator[str]:
    """I3: 1..n, and the terminal event is the last."""
    seqs = [event["seq"] for event in evidence.events]
    if seqs != list(range(1, evidence.execution["last_seq"] + 1)):
        yield f"last_seq is {evidence.execution['last_seq']}, the log has {seqs}"
    if evidence.events and evidence.events[-1]["type"].removeprefix("execution.") not in TERMINAL:
        yield f"the log ends with {evidence.events[-1]['type']}"


def no_completed_call_twice(evidence: Evidence) -> Iterator[str]:
    """I4: beyond the calls that are needed, at most the one that was under way when an attempt was cut short."""
    made, needed = len(evidence.requests), evidence.calls_needed
    if made > needed + evidence.cut_short:
        rounds = [request["round"] for request in evidence.requests]
        yield f"{made} model calls for {needed} (rounds {rounds}), with {evidence.cut_short} attempts cut short"
    done = len(evidence.steps_with("model_call", "done"))
    if done > needed:
        yield f"the journal has {done} model calls done for {needed} rounds: a completed one was paid again"
    answered = sum(request["outcome"] == "completed" for request in evidence.requests)
    if not done <= answered <= done + evidence.cut_short:
        yield f"the journal has {done} model calls done, the model answered {answered}"


def spend_is_what_was_called(evidence: Evidence) -> Iterator[str]:
    """I4: what the execution says it used is what its events say, and what the model gave."""
    told = sum((Usage.model_validate(event["data"]) for event in evidence.events_of("usage")), Usage())
    if told != evidence.usage:
        yield f"usage events come to {told}, the execution says {evidence.usage}"
    calls, made = evidence.usage.model_calls, len(evidence.requests)
    if not made - evidence.cut_short <= calls <= made:
        yield f"{calls} model calls were charged, {made} were made"


def effects_at_most_once(evidence: Evidence) -> Iterator[str]:
    """I5: no effect twice, and no success without its effect."""
    for line, times in evidence.effects_per_call().items():
        if times > 1:
            yield f"effect {line} was done {times} times"
    for event in evidence.events_of("tool.completed"):
        line = str(event["data"]["result"]).removeprefix("wrote ")
        if not event["data"]["is_error"] and line != event["data"]["result"] and line not in evidence.effects:
            yield f"event {event['seq']} says that {line} was written; the ledger does not know it"


def fenced(evidence: Evidence) -> Iterator[str]:
    """I6: no event of an attempt after the first one of its successor."""
    newest = 0
    for event in evidence.events:
        if (event["attempt"] or newest) < newest:
            yield f"event {event['seq']} ({event['type']}) of attempt {event['attempt']} came after attempt {newest}"
        newest = max(newest, event["attempt"] or 0)


def one_story_for_all(evidence: Evidence) -> Iterator[str]:
    """I7: what each reader put together is the log."""
    yield from evidence.complaints
    text = "".join(event["data"]["text"] for event in evidence.events_of("message.completed"))
    for number, reader in enumerate(evidence.readers):
        if (read := _told(reader.events)) != (logged := _told(evidence.events)):
            yield f"reader {number} has {[entry[:2] for entry in read]}, the log {[entry[:2] for entry in logged]}"
        if reader.text != text:
            yield f"reader {number} has the text {reader.text!r}, the log {text!r}"


def nothing_left_open(evidence: Evidence) -> Iterator[str]:
    """I11: what began has an end: each tool call in the log, each step in the journal."""
    yield from open_calls(evidence.events)
    for step in evidence.steps:
        if step["status"] == "claimed":
            yield f"step {step['turn']}/{step['ordinal']} ({step['name']}) is claimed for ever"


def _told(events: list[Event]) -> list[tuple[int, str, Any]]:
    return [(event["seq"], event["type"], event["data"]) for event in events]


def nothing_left_behind(evidence: Evidence) -> Iterator[str]:
    """I9: no process of a killed worker, no workspace of an ended execution."""
    for process in evidence.survivors:
        yield f"process {process} outlived its worker"
    for place in evidence.workspaces:
        yield f"{place} is still there"


INVARIANTS: dict[str, Callable[[Evidence], Iterator[str]]] = {
    "I1": one_terminal_state,
    "I3": numbered_without_gaps,
    "I6": fenced,
    "I5": effects_at_most_once,
    "I4": no_completed_call_twice,
    "I4 (spend)": spend_is_what_was_called,
    "I7": one_story_for_all,
    "I9": nothing_left_behind,
    "I11": nothing_left_open,
}
