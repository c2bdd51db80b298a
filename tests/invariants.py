"""The promises of the design, checked over the event log, the API and Temporal."""

from collections.abc import Iterator

from runtimes.types import Usage
from tests.stack import TERMINAL, Event, Stack

#: What ends a tool call.
CALL_ENDS = {"tool.completed", "tool.unknown", "tool.cancelled"}
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
    assert list(open_calls(events)) == []
    steps = (await stack.http.get(f"/api/v1/executions/{execution}/steps", params={"limit": 200})).json()["items"]
    assert [step for step in steps if step["status"] == "claimed"] == []
    used = [Usage.model_validate(event["data"]) for event in events if event["type"] == "usage"]
    assert Usage.model_validate(shown["usage"]) == sum(used, Usage.model_validate(shown["children_usage"]))
    return events


def open_calls(events: list[Event]) -> Iterator[str]:
    """Tell of tool calls that were told to begin and are not told to end, once, before they begin again."""
    running: dict[str, int] = {}
    for event in events:
        call, kind, number = event["data"].get("tool_call_id"), event["type"], event["seq"]
        if kind == "tool.started":
            if call in running:
                yield f"event {number}: {call} begins, which has begun with event {running[call]}"
            running[call] = number
        elif kind in CALL_ENDS and running.pop(call, None) is None and "arguments" not in event["data"]:
            yield f"event {number} ({kind}): {call} ends, which was not under way"
    yield from (f"{call} has begun with event {number} and has no end" for call, number in running.items())


async def _closed(stack: Stack, execution: str, status: str) -> bool:
    """The workflow closes a moment after the turn that it waited for."""
    return await stack.temporal_status(execution) == CLOSED_AS[status]


def _assert_fenced(events: list[Event]) -> None:
    attempts = [event["attempt"] for event in events if event["attempt"] is not None]
    assert attempts == sorted(attempts)


def text_of(events: list[Event]) -> str:
    """The text of all completed messages."""
    return "".join(event["data"]["text"] for event in events if event["type"] == "message.completed")
