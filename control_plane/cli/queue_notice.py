"""Says why nothing happens while an execution stays in its queue."""

from threading import Timer
from types import TracebackType
from typing import Self

from control_plane.cli.failures import CliError
from control_plane.cli.follow import WatchedEvent
from control_plane.cli.options import Invocation

#: Seconds in the queue after which somebody who watches wants to know why.
PATIENCE = 4.0


class QueueNotice:
    """Looks once, after a while, unless an attempt started before that."""

    def __init__(self, invocation: Invocation, execution_id: str) -> None:
        self._api = invocation.api
        self._say = invocation.printer.note
        self._path = f"/executions/{execution_id}"
        self._timer = Timer(PATIENCE, self._look)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def seen(self, event: WatchedEvent) -> None:
        """Once an attempt has started there is nothing to explain."""
        if event.type == "attempt.started":
            self._timer.cancel()

    def _look(self) -> None:
        try:
            execution = self._api.get(self._path)
            if execution["status"] != "queued":
                return
            runtime = self._api.get(f"/runtimes/{execution['runtime']}")
        except CliError:
            return
        pool = execution["task_queue"].rpartition(".")[2]
        self._say(_busy() if runtime["live"] else _absent(runtime["name"], pool))


def _busy() -> str:
    return "Still queued: it waits for a worker with a free slot (holdfast pools list)."


def _absent(runtime: str, pool: str) -> str:
    return (
        f"Still queued: no live worker serves the runtime '{runtime}'.\n"
        f"Start one with `holdfast worker --pool {pool}`, or choose another one: holdfast runtimes list"
    )
