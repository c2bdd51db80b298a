"""The tool calls of an attempt as it sees them: which are under way, and what each came to."""

import asyncio
from collections.abc import Callable

from runtimes.types import ToolCallCompleted, ToolCallStarted, ToolMessage
from services.storable import storable

#: Longest argument or result text of a tool call in an execution's result, in characters.
SHORT_TOOL_TEXT = 500
#: Tool calls that an execution's result lists.
LISTED_TOOL_CALLS = 50


class CallLog:
    """Hears of every call, replayed ones too; `touched` is told each time, `split` where a message ends."""

    def __init__(self, touched: Callable[[], None], split: Callable[[], None]) -> None:
        self._touched = touched
        self._split = split
        self._messages: dict[str, ToolMessage] = {}
        self._under_way: set[str] = set()
        self._parked = 0
        self._changed = asyncio.Event()

    @property
    def messages(self) -> list[ToolMessage]:
        """The calls as the execution's result lists them."""
        return list(self._messages.values())[-LISTED_TOOL_CALLS:]

    @property
    def all_wait(self) -> bool:
        """Whether every call under way waits for somebody."""
        return len(self._under_way) <= self._parked

    def entered(self, call: ToolCallStarted) -> None:
        """A call begins, or is replayed."""
        self._touched()
        self._split()
        self._under_way.add(call.tool_call_id)
        self._messages[call.tool_call_id] = ToolMessage(
            tool_call_id=call.tool_call_id,
            name=call.name,
            arguments=storable(call.arguments[:SHORT_TOOL_TEXT]),
            result="",
        )
        self._changed.set()

    def left(self, call: ToolCallCompleted) -> None:
        """A call ended."""
        self._touched()
        self._under_way.discard(call.tool_call_id)
        message = self._messages.get(call.tool_call_id)
        if message is not None:
            message.result, message.is_error = storable(call.result[:SHORT_TOOL_TEXT]), call.is_error
        self._changed.set()

    def park(self) -> None:
        """One of the calls under way waits from now on."""
        self._parked += 1
        self._changed.set()

    async def quiet(self, seconds: float) -> None:
        """Return once every call waits and nothing has changed for so long."""
        while True:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), seconds if self.all_wait else None)
            except TimeoutError:
                return
