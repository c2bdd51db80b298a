"""An execution's events as one unbroken stream, whatever happens to the connection."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from httpx_sse import EventSource

from control_plane.cli.client import CONNECT_SECONDS, PREFIX, ApiClient, answer

#: The API pings every 10 s: silence for longer (seconds) means that the connection is dead.
SILENCE_SECONDS = 30.0
#: Seconds that the API may be away before watching ends.
PATIENCE = 120.0
TERMINAL = frozenset({"execution.completed", "execution.failed", "execution.cancelled", "execution.timed_out"})


@dataclass(frozen=True)
class WatchedEvent:
    """One message of the stream; `position` is what to resume after."""

    position: str
    type: str
    body: dict[str, Any]

    @property
    def data(self) -> dict[str, Any]:
        """What the event says."""
        return self.body.get("data") or {}


class EventStream:
    """Follows one execution from `after` to its end; `say` is told about broken connections.

    `position` is where the stream stands: the id of the last event that was given out.
    """

    def __init__(
        self, api: ApiClient, execution_id: str, *, say: Callable[[str], None], after: str = "0", follow: bool = True
    ) -> None:
        self._api = api
        self._path = f"{PREFIX}/executions/{execution_id}/events"
        self._say = say
        self._follow = follow
        self.position = after

    def __iter__(self) -> Iterator[WatchedEvent]:
        """Every event once, in order.

        Raises:
            CliError: the API refused, or was away for too long.
        """
        while True:
            response = self._connected()
            try:
                yield from self._read(response)
                return
            except (httpx.TransportError, _Cut):
                self._say("The connection broke: going on where it stopped.")
            finally:
                response.close()

    @property
    def seq(self) -> int:
        """The number of the last event of the log that was given out."""
        return _seq(self.position)

    def _read(self, response: httpx.Response) -> Iterator[WatchedEvent]:
        if response.status_code == httpx.codes.NO_CONTENT.value:
            return
        for message in EventSource(response).iter_sse():
            if not message.data:
                continue
            event = WatchedEvent(message.id, message.event, orjson.loads(message.data))
            if "." not in event.position and _seq(event.position) <= self.seq:
                continue
            self.position = event.position
            yield event
            if event.type in TERMINAL:
                return
        if self._follow:
            raise _Cut

    def _connected(self) -> httpx.Response:
        return self._api.retrying(PATIENCE, self._say)(self._connect)

    def _connect(self) -> httpx.Response:
        request = self._api.http.build_request(
            "GET",
            self._path,
            params={} if self._follow else {"follow": "false"},
            headers={"Accept": "text/event-stream", "Last-Event-ID": self.position},
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        )
        try:
            response = self._api.http.send(request, stream=True)
            if not response.is_success:
                response.read()
                answer(response)
        except httpx.TransportError as error:
            raise self._api.unreachable(error) from error
        return response


class _Cut(Exception):
    """The stream ended before the execution did."""


def _seq(position: str) -> int:
    return int(position.partition(".")[0] or 0)
