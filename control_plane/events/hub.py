"""Wakes readers: `LISTEN/NOTIFY` as a hint, in batches, outside every writing transaction."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeVar

import orjson
import psycopg
import structlog

from services.control_plane_client.models import ControlCommand

EVENTS = "holdfast_events"
CONTROL = "holdfast_control"
#: Follows the execution's id in the payload that tells of its end.
ENDED = " ended"
RECONNECT_SECONDS = 0.5
#: PostgreSQL takes payloads under 8,000 bytes.
BATCH = 100

Value = TypeVar("Value")
log = structlog.get_logger()


class Subscription:
    """A reader's bell; a ring is kept until it is heard."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Say that there may be something new."""
        self._rung.set()

    async def heard(self, timeout: float) -> None:
        """Return when it rang, or after `timeout` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), timeout)
        self._rung.clear()


class EventHub:
    """One listening and one notifying connection per process, whatever the number of readers."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._readers: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._workers: defaultdict[str, set[asyncio.Queue[ControlCommand]]] = defaultdict(set)
        self._outbox: list[tuple[str, str]] = []
        self._wake = asyncio.Event()
        self._own_pid = 0
        self._tasks: list[asyncio.Task[NoReturn]] = []

    def start(self) -> None:
        """Begin to listen; connections are made, and made again, in the background."""
        self._tasks = [asyncio.create_task(self._for_ever(step)) for step in (self._listen, self._notify)]

    async def stop(self) -> None:
        """Close both connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def subscribed(self, execution_id: str, *, to_end: bool = False) -> Generator[Subscription]:
        """A bell that rings when the execution's log may have grown; with `to_end` only when it has ended."""
        subscription, topic = Subscription(), execution_id + ENDED if to_end else execution_id
        self._readers[topic].add(subscription)
        try:
            yield subscription
        finally:
            _remove(self._readers, topic, subscription)

    @contextmanager
    def commands(self, worker_id: str) -> Generator["asyncio.Queue[ControlCommand]"]:
        """The commands for one worker that is connected to this process."""
        queue: asyncio.Queue[ControlCommand] = asyncio.Queue()
        self._workers[worker_id].add(queue)
        try:
            yield queue
        finally:
            _remove(self._workers, worker_id, queue)

    def announce(self, execution_id: str, *, ended: bool = False) -> None:
        """Tell readers here at once, and those of other processes, that a log has grown, or ended."""
        payload = execution_id + ENDED if ended else execution_id
        self._ring(payload)
        self._send(EVENTS, payload)

    def command(self, worker_id: str, command: ControlCommand) -> None:
        """Send a command to a worker, whichever process it is connected to."""
        self._send(CONTROL, orjson.dumps({"worker_id": worker_id, "command": command.model_dump()}).decode())

    def _send(self, channel: str, payload: str) -> None:
        self._outbox.append((channel, payload))
        self._wake.set()

    async def _for_ever(self, step: Callable[[psycopg.AsyncConnection], Coroutine[Any, Any, None]]) -> NoReturn:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    await step(connection)
            except psycopg.Error as error:
                log.warning("event hub lost its connection", error=str(error).strip())
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self, connection: psycopg.AsyncConnection) -> None:
        await connection.execute(f"LISTEN {EVENTS}")
        await connection.execute(f"LISTEN {CONTROL}")
        async for notification in connection.notifies():
            if notification.channel == CONTROL:
                self._deliver(notification.payload)
            elif notification.pid != self._own_pid:
                self._ring(notification.payload)

    async def _notify(self, connection: psycopg.AsyncConnection) -> None:
        # What this process tells others has rung here already.
        self._own_pid = connection.info.backend_pid
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                batch = list(dict.fromkeys(self._outbox[:BATCH]))
                channels, payloads = [channel for channel, _ in batch], [payload for _, payload in batch]
                await connection.execute(
                    "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS note(channel, payload)",
                    (channels, payloads),
                )
                del self._outbox[:BATCH]

    def _ring(self, payload: str) -> None:
        for topic in {payload, payload.removesuffix(ENDED)}:
            for subscription in self._readers.get(topic, ()):
                subscription.ring()

    def _deliver(self, payload: str) -> None:
        message = orjson.loads(payload)
        command = ControlCommand.model_validate(message["command"])
        for queue in self._workers.get(message["worker_id"], ()):
            queue.put_nowait(command)


def _remove(table: defaultdict[str, set[Value]], key: str, value: Value) -> None:
    table[key].discard(value)
    if not table[key]:
        del table[key]
