"""The promises of the design, checked over the event log, the API and Temporal."""

from runtimes.types import Usage
from tests.stack import TERMINAL, Event, Stack

#: What Temporal calls the ends that we record.
CLOSED_AS = {"completed": "COMPLETED", "failed": "FAILED", "cancelled": "CANCELED", "timed_out": "FAILED"}


async def assert_ended_well(stack: Stack, execution: str, status: str = "completed") -> list[Event]:
    """One terminal state, the same in log, database and Temporal; a gap-free, fenced log. Gives the log."""
    events = await stack.log(execution)
    shown = await stack.get(execution)

    assert [event["seq"] for event in events] == list(range(1, shown["last_seq"] + 1))
    ends = [event["type"] for event in events if event["type"].removeprefix("execution.") in TERMINAL]
    assert ends == [f"execution.{status}"]
    assert events[-1]["type"] == ends[0]
    assert shown["status"] == status
    await stack.until(lambda: _closed(stack, execution, status))
    _assert_fenced(events)
    used = [Usage.model_validate(event["data"]) for event in events if event["type"] == "usage"]
    assert Usage.model_validate(shown["usage"]) == sum(used, Usage())
    return events


async def _closed(stack: Stack, execution: str, status: str) -> bool:
    """The workflow closes a moment after the turn that it waited for."""
    return await stack.temporal_status(execution) == CLOSED_AS[status]


def _assert_fenced(events: list[Event]) -> None:
    attempts = [event["attempt"] for event in events if event["attempt"] is not None]
    assert attempts == sorted(attempts)


def text_of(events: list[Event]) -> str:
    """The text of all completed messages."""
    return "".join(event["data"]["text"] for event in events if event["type"] == "message.completed")
