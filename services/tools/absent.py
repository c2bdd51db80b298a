"""Tools that a turn has offered and cannot use now: a server that was away when its attempt began may come back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from runtimes.errors import RuntimeFailure
from services.tools.spec import ToolSpec

#: Connects a server again and gives its tools.
Reconnect = Callable[[], Awaitable[Sequence[ToolSpec]]]


@dataclass(slots=True)
class Absent:
    """A toolset or a server that cannot be used, and why.

    `prefix` is what the names of its tools begin with; without `reconnect` it stays away for the whole attempt.
    """

    reason: str
    prefix: str = ""
    reconnect: Reconnect | None = None
    _found: Sequence[ToolSpec] = ()
    _trying: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tries: int = 0

    def may_have(self, name: str) -> bool:
        """Whether a tool of this name may be there once it is back."""
        return self.reconnect is not None and name.startswith(self.prefix)

    async def tool(self, name: str) -> ToolSpec | None:
        """A tool, if it is there now: whoever comes while another one tries gets what that one finds."""
        tries = self._tries
        async with self._trying:
            if not self._found and tries == self._tries and self.reconnect is not None:
                try:
                    self._found = await self.reconnect()
                except RuntimeFailure as failure:
                    self.reason = failure.message
                finally:
                    self._tries += 1
        return next((spec for spec in self._found if spec.name == name), None)
