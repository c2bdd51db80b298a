"""Watching an execution until it ends: what `run` and `executions logs` share."""

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from control_plane.cli.failures import BY_EXECUTION, CliError, ExitCode
from control_plane.cli.follow import EventStream, WatchedEvent
from control_plane.cli.options import Invocation
from control_plane.cli.output import Output
from control_plane.cli.queue_notice import QueueNotice
from control_plane.cli.transcript import Transcript, event_line


class Watch:
    """One execution, watched from `after` on."""

    def __init__(
        self,
        invocation: Invocation,
        execution_id: str,
        *,
        after: str = "0",
        follow: bool = True,
        prompts: bool = True,
    ) -> None:
        self._invocation = invocation
        self._printer = invocation.printer
        self._id = execution_id
        self._stream = EventStream(invocation.api, execution_id, say=self._printer.note, after=after, follow=follow)
        self._transcript = Transcript(self._printer, prompts=prompts)

    def answer(self, *, until_waiting: bool) -> ExitCode:
        """Show the answer as it comes and say at the end how it went.

        Ctrl-C asks whether to leave the execution running or to cancel it.
        """
        show = {Output.TABLE: self._transcript.show, Output.JSONL: self._raw, Output.JSON: _nothing}
        while True:
            try:
                self._follow(show[self._printer.output], until_waiting)
                break
            except KeyboardInterrupt:
                self._transcript.finish()
                if not self._cancel_wanted():
                    return self._left_running()
                self._cancel()
                # Its turn ends first: for a moment it seems to wait for a message.
                until_waiting = False
        return self._conclude()

    def log(self) -> ExitCode:
        """Show the events themselves."""
        self._follow(self._raw if self._printer.output is not Output.TABLE else self._line, until_waiting=False)
        return ExitCode.OK

    def _follow(self, show: Callable[[WatchedEvent], None], until_waiting: bool) -> None:
        with QueueNotice(self._invocation, self._id) as notice:
            for event in self._stream:
                notice.seen(event)
                show(event)
                # In the middle of a turn it waits for something else than a message.
                if until_waiting and event.type == "execution.waiting" and not event.data.get("waits"):
                    return

    def _conclude(self) -> ExitCode:
        self._transcript.finish()
        execution = self._invocation.api.get(f"/executions/{self._id}")
        if self._printer.output is Output.JSON:
            self._printer.document(self._result(execution))
        elif self._printer.output is Output.TABLE:
            self._printer.note("\n".join(closing_lines(execution)))
        return BY_EXECUTION.get(execution["status"], ExitCode.PARTIAL)

    def _result(self, execution: dict[str, Any]) -> Any:
        if execution["status"] in BY_EXECUTION:
            return self._invocation.api.get(f"/executions/{self._id}/result")
        return execution

    def _cancel_wanted(self) -> bool:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        try:
            sys.stderr.write("\nDetach and let it run, or cancel it? [d/c] ")
            sys.stderr.flush()
            return sys.stdin.readline().strip().lower().startswith("c")
        except KeyboardInterrupt:
            return False

    def _cancel(self) -> None:
        try:
            self._invocation.api.send("POST", f"/executions/{self._id}/cancel")
            self._printer.note("Cancelling.")
        except CliError as error:
            if error.exit_code is not ExitCode.CONFLICT:
                raise
            self._printer.note(error.detail)

    def _left_running(self) -> ExitCode:
        self._printer.note(
            f"The execution {self._id} goes on.\n"
            f"  watch:   holdfast executions logs -f {self._id} --after {self._stream.seq}\n"
            f"  cancel:  holdfast executions cancel {self._id}"
        )
        return ExitCode.INTERRUPTED

    def _raw(self, event: WatchedEvent) -> None:
        self._printer.document({"id": event.position, **event.body})

    def _line(self, event: WatchedEvent) -> None:
        if event.type != "message.delta":
            self._printer.text(event_line(event) + "\n")


def closing_lines(execution: dict[str, Any]) -> list[str]:
    """How it went, why it failed, and what to do next."""
    lines = [summary(execution)]
    if error := execution.get("error"):
        lines += [f"{error['code']}: {error['message']}", *filter(None, [error.get("hint")])]
    return lines


def summary(execution: dict[str, Any]) -> str:
    """Status, tokens, cost, seconds, id."""
    usage: dict[str, Any] = execution.get("usage") or {}
    parts = [execution["status"]]
    if usage.get("input_tokens") or usage.get("output_tokens"):
        parts.append(f"{usage.get('input_tokens', 0)} tokens in, {usage.get('output_tokens', 0)} out")
    if cost := usage.get("known_cost_usd", usage.get("cost_usd")):
        parts.append(f"${cost:.4f}" if usage.get("cost_usd") else f"at least ${cost:.4f}")
    if (seconds := duration(execution)) is not None:
        parts.append(f"{seconds:.1f} s")
    return " · ".join([*parts, f"execution {execution['id']}"])


def duration(execution: dict[str, Any]) -> float | None:
    """Seconds from acceptance to the end."""
    if not execution.get("finished_at"):
        return None
    begin, end = (datetime.fromisoformat(execution[key]) for key in ("created_at", "finished_at"))
    return (end - begin).total_seconds()


def _nothing(event: WatchedEvent) -> None:
    """Events are not shown."""
