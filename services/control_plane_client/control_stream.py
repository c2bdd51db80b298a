"""The stream that a worker keeps open to the control plane: cancel, interrupt, drain."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import NoReturn

import aiohttp
from pydantic import ValidationError

from services.control_plane_client.models import ControlCommand

#: Missed commands cost little: Temporal's heartbeat tells of a cancellation within a second.
RECONNECT_SECONDS = 0.5


class ControlStream:
    """Delivers the control plane's commands for one worker, for ever."""

    def __init__(self, session: aiohttp.ClientSession, worker_id: str) -> None:
        self._session = session
        self._path = f"/internal/v1/workers/{worker_id}/control"

    async def run(self, deliver: Callable[[ControlCommand], None]) -> NoReturn:
        """Listen, and listen again after each loss."""
        while True:
            try:
                async for command in self._commands():
                    deliver(command)
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _commands(self) -> AsyncGenerator[ControlCommand]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
        async with self._session.get(self._path, timeout=timeout, raise_for_status=True) as response:
            async for line in response.content:
                command = _command(line)
                if command is not None:
                    yield command


def _command(line: bytes) -> ControlCommand | None:
    """Each command is one SSE event with one `data:` line."""
    field, _, value = line.partition(b":")
    if field != b"data":
        return None
    try:
        return ControlCommand.model_validate_json(value)
    except ValidationError:
        return None
