"""Calls that were begun and that the conversation has lost: the model was asked again, and worded itself anew."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from runtimes.types import Effect
from services.control_plane_client.models import Step, StepKind, StepStatus

#: In the response of a call that was not run: the id of the earlier call that it may repeat.
EARLIER = "earlier"


class Forgotten:
    """The recorded calls of tools that may run once only, until the framework is seen to know of them."""

    def __init__(self, attempt: int, recorded: Sequence[Step], read: Callable[[Step], Awaitable[Any]]) -> None:
        self._attempt = attempt
        self._answers = [step for step in recorded if step.kind is StepKind.MODEL_CALL and _is_done(step)]
        self._read = read
        self._new: list[bytes] = []
        calls = {step.key: step for step in recorded if step.kind is StepKind.TOOL_CALL and _runs_once(step)}
        held = {
            key: step.response[EARLIER] for key, step in calls.items() if step.response and EARLIER in step.response
        }
        self._calls = {key: step for key, step in calls.items() if key not in {*held, *held.values()}}

    def know(self, text: bytes) -> None:
        """The calls in a request or an answer are known."""
        for key in [key for key in self._calls if _quoted(key) in text]:
            del self._calls[key]

    def answered(self, response: Any, *, is_new: bool) -> None:
        """Note an answer that the framework gets."""
        if not self._calls:
            return
        written = orjson.dumps(response)
        if is_new:
            self._new.append(written)
        else:
            self.know(written)

    async def like(self, key: str, name: str, unused: Sequence[Step]) -> Step | None:
        """A forgotten call of the tool, if the answer that asks for this one was given by a later attempt."""
        found = [step for step in self._calls.values() if step.name == name and step in unused]
        made = await self._made(key) if found else 0
        step = next((step for step in found if step.attempt < made), None)
        if step is not None:
            del self._calls[step.key]
        return step

    async def _made(self, key: str) -> int:
        """The attempt that got the answer with a call; 0 if that is not known."""
        if any(_quoted(key) in answer for answer in self._new):
            return self._attempt
        for step in reversed(self._answers):
            if _quoted(key) in orjson.dumps(await self._read(step)):
                return step.attempt
        return 0


def _runs_once(step: Step) -> bool:
    did_not_run = step.status in (StepStatus.FAILED, StepStatus.CANCELLED)
    return step.effect == Effect.AT_MOST_ONCE and bool(step.key) and not did_not_run


def _is_done(step: Step) -> bool:
    return step.status is StepStatus.DONE


def _quoted(key: str) -> bytes:
    return orjson.dumps(key)
