"""What a person sees of an execution: the answer on stdout, everything around it on stderr."""

from collections.abc import Callable
from typing import Any

from control_plane.cli.follow import WatchedEvent
from control_plane.cli.output import Printer, as_text, shortened, visible

#: Characters of a question that are shown at once.
QUESTION = 1000


class Transcript:
    """Writes text as it comes, each character once, whichever events arrive twice, late or never.

    `prompts` shows those after the first too; the person at a dialogue has just typed them.
    """

    def __init__(self, printer: Printer, *, prompts: bool = True) -> None:
        self._printer = printer
        self._prompts = prompts
        self._attempt = 0
        self._message: int | None = None
        #: Characters of the open message that were written.
        self._written = 0
        self._line_open = False
        self._answer_begun = False
        self._handlers: dict[str, Callable[[WatchedEvent], None]] = {
            "turn.started": self._turn_started,
            "attempt.started": self._attempt_started,
            "message.delta": self._delta,
            "message.completed": self._message_completed,
            "tool.started": self._tool_started,
            "tool.completed": self._tool_completed,
            "tool.unknown": self._tool_unknown,
            "tool.cancelled": self._tool_cancelled,
            "approval.requested": self._asked,
            "approval.approved": self._decided,
            "approval.denied": self._decided,
            "approval.expired": self._decided,
            "approval.withdrawn": self._decided,
            "execution.waiting": self._waiting,
            "execution.waiting_for_pool": self._waiting_for_pool,
            "execution.waiting_for_session": self._waiting_for_session,
            "execution.placed": self._placed,
            "attempt.failed": self._attempt_failed,
            "attempt.preempted": self._attempt_over,
            "attempt.lost": self._attempt_over,
            "turn.interrupted": self._turn_interrupted,
            "turn.failed": self._turn_failed,
        }

    def show(self, event: WatchedEvent) -> None:
        """Show one event; unknown types are passed over."""
        if handler := self._handlers.get(event.type):
            handler(event)

    def finish(self) -> None:
        """End the line that is open."""
        if self._line_open:
            self._write("\n")

    def _turn_started(self, event: WatchedEvent) -> None:
        self._answer_begun = False
        self._message = None
        if self._prompts and (event.body.get("turn") or 1) > 1:
            self._note(f"> {shortened(str(event.data.get('prompt', '')))}")

    def _attempt_started(self, event: WatchedEvent) -> None:
        attempt = _attempt(event)
        if attempt <= self._attempt:
            return
        if self._answer_begun:
            self._note(f"attempt {attempt}: the answer starts again")
        self._attempt, self._message, self._answer_begun = attempt, None, False

    def _delta(self, event: WatchedEvent) -> None:
        if _attempt(event) < self._attempt:
            return
        self._open(event.data["message"])
        begin = self._written - int(event.data["offset"])
        # Text that begins beyond what was written is left to `message.completed`.
        if begin >= 0 and (fresh := str(event.data["text"])[begin:]):
            self._written += len(fresh)
            self._write(fresh)

    def _message_completed(self, event: WatchedEvent) -> None:
        if _attempt(event) < self._attempt:
            return
        self._open(event.data["message"])
        self._write(str(event.data["text"])[self._written :])
        self.finish()
        # A later attempt goes on behind it.
        self._message, self._answer_begun = None, False

    def _open(self, message: int) -> None:
        if message != self._message:
            self.finish()
            self._message, self._written = message, 0

    def _tool_started(self, event: WatchedEvent) -> None:
        self._note(f"→ {event.data['name']} {shortened(as_text(event.data.get('arguments')))}")

    def _tool_completed(self, event: WatchedEvent) -> None:
        if "arguments" in event.data:
            self._tool_started(event)
        sign = "✗" if event.data.get("is_error") else "←"
        self._note(f"{sign} {event.data['name']} {shortened(as_text(event.data.get('result')))}")

    def _tool_unknown(self, event: WatchedEvent) -> None:
        self._note(f"? {event.data['name']} was cut off: nobody knows whether it was done")

    def _tool_cancelled(self, event: WatchedEvent) -> None:
        runs_on = "; it cannot be stopped and goes on by itself" if event.data.get("runs_on") else ""
        self._note(f"✗ {event.data['name']} was cut off{runs_on}")

    def _asked(self, event: WatchedEvent) -> None:
        self._note(question(event.data))

    def _decided(self, event: WatchedEvent) -> None:
        by = f" by {event.data['decided_by']}" if event.data.get("decided_by") else ""
        note = f": {shortened(str(event.data['note']))}" if event.data.get("note") else ""
        self._note(f"{event.type.removeprefix('approval.')}{by}{note}")

    def _waiting(self, event: WatchedEvent) -> None:
        if waits := event.data.get("waits"):
            self._note(f"waiting for {'it' if len(waits) == 1 else f'{len(waits)} of them'}; it may take days")

    def _waiting_for_pool(self, event: WatchedEvent) -> None:
        data = event.data
        self._note(f"waiting for a pool that serves '{data['runtime']}'. Start one: {data['deploy']}")

    def _waiting_for_session(self, event: WatchedEvent) -> None:
        self._note(f"waiting for {', '.join(event.data['executions'])}: the session has it first")

    def _placed(self, event: WatchedEvent) -> None:
        self._note(f"goes on: runtime '{event.data['runtime']}', queue {event.data['task_queue']}")

    def _attempt_failed(self, event: WatchedEvent) -> None:
        error: dict[str, Any] = event.data.get("error") or {}
        # Otherwise it is how the execution ends, which is said there.
        if error.get("retryable"):
            reason = str(error.get("message") or "")
            stop = "" if reason.endswith((".", "!", "?")) else "."
            self._note(f"attempt {_attempt(event)} failed: {reason}{stop} It is tried again.")

    def _attempt_over(self, event: WatchedEvent) -> None:
        how = "was lost with its worker" if event.type == "attempt.lost" else "was given back by its worker"
        self._note(f"attempt {event.data.get('attempt') or _attempt(event)} {how}: another one goes on")

    def _turn_interrupted(self, event: WatchedEvent) -> None:
        self._note("the turn was interrupted")

    def _turn_failed(self, event: WatchedEvent) -> None:
        error: dict[str, Any] = event.data.get("error") or {}
        self._note(f"the turn failed: {error.get('message')} {error.get('hint')}".rstrip())

    def _note(self, text: str) -> None:
        self.finish()
        self._printer.note(text)

    def _write(self, text: str) -> None:
        if text:
            # Known before it is written: Ctrl-C may come in between.
            self._answer_begun = True
            self._line_open = not text.endswith("\n")
            self._printer.text(text)


def question(asked: dict[str, Any]) -> str:
    """What a turn asks, and how to decide; nothing is hidden in it."""
    approval, name = asked["approval_id"], visible(str(asked.get("name")))
    how = f"  holdfast approvals approve {approval}"
    if asked.get("kind") == "budget":
        return f"? the limit is reached: {name} = {asked.get('value')}\n{how} --limit N"
    arguments = visible(as_text(asked.get("arguments")))
    whole = "" if len(arguments) <= QUESTION else f"\n  holdfast approvals show {approval}"
    unknown = "was perhaps done already; again?" if asked.get("kind") == "outcome_unknown" else "wants to run"
    return f"? {name} {shortened(arguments, QUESTION)} {unknown}{whole}\n{how}\n  holdfast approvals deny {approval}"


def event_line(event: WatchedEvent) -> str:
    """One event as one line of a log."""
    moment = str(event.body.get("created_at", ""))[11:19]
    about = " ".join(f"{key}={_brief(value)}" for key, value in event.data.items() if value is not None)
    return f"{event.position:>5}  {moment}  {event.type:<20}  {about}".rstrip()


def _brief(value: Any) -> str:
    if isinstance(value, dict) and value.keys() >= {"code", "message"}:
        return shortened(f"{value['code']}: {value['message']}")
    return shortened(as_text(value), 120)


def _attempt(event: WatchedEvent) -> int:
    return int(event.body.get("attempt") or 0)
