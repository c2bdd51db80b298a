"""The step journal of a turn: what was done is read back, what is done is written before anybody acts on it."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import orjson

from runtimes.types import Usage
from services.completions import Completions
from services.control_plane_client.models import NewEvent, Step, StepKind, StepStatus
from services.forgotten import Forgotten
from services.metrics import TurnMetrics

#: Fields of a request that differ between two runs of the same turn and mean nothing.
VOLATILE = frozenset({"metadata", "user", "safety_identifier", "prompt_cache_key"})


class StepWriter(Protocol):
    """Where steps go: the attempt's own stream into the control plane."""

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        """Store a step with the events that belong to it, in one transaction; it is stored when this returns.

        Steps are stored in the order of the calls, also where one is on its way when the next is called.

        Raises:
            AttemptFenced: a newer attempt has taken over.
            ControlPlaneUnavailable: nothing is known of the step.
        """
        ...


class Journal:
    """The steps of one turn, seen from one attempt; `recorded` are those of earlier attempts.

    `fetch` reads a blob that an earlier attempt's response became; `metrics` count what steps come to.
    """

    def __init__(
        self,
        attempt: int,
        recorded: Sequence[Step],
        writer: StepWriter,
        fetch: Callable[[str], Awaitable[Any]],
        metrics: TurnMetrics,
    ) -> None:
        self.metrics = metrics
        self._attempt = attempt
        self._answered = [step for step in recorded if _is_answer(step)]
        self._unused = [step for step in recorded if step.status is not StepStatus.FAILED]
        self._completions = Completions(sorted(recorded, key=lambda step: step.ordinal))
        self._forgotten = Forgotten(attempt, recorded, self._response)
        self._calls = {step.key: step.ordinal for step in recorded if step.kind is StepKind.TOOL_CALL}
        self._writer = writer
        self._fetch = fetch
        self._next = max((step.ordinal for step in recorded), default=0) + 1
        self._mine: dict[int, Usage] = {}

    @property
    def used(self) -> Usage:
        """What this attempt has used: the calls that it made itself."""
        return sum(self._mine.values(), start=Usage())

    @property
    def has_calls(self) -> bool:
        """Whether recorded model calls are left that nobody has asked for."""
        return any(step.kind is StepKind.MODEL_CALL for step in self._unused)

    async def replay(
        self, kind: StepKind, *, digest: str, fingerprint: str = "", key: str = "", former: Sequence[str] = ()
    ) -> Step | None:
        """The recorded step that answers a request, each one once; None where it has to be done.

        First one with the same `key` (of a tool call) or the same hash, then one of the same structure; `former` are
        hash and fingerprint as they were made before. A step that was `claimed` by an earlier attempt is given too:
        whoever asks knows whether it can be done again. Results of tools that run at once come in the order in which
        they came first.
        """
        step = self._take(kind, (digest, *former), (fingerprint, *former), key)
        if step is not None and (step.response is not None or step.response_blob is not None):
            self.metrics.replayed(kind)
            await self._completions.turn_of(step)
        if step is not None and step.response_blob is not None:
            return step.model_copy(update={"response": await self._response(step)})
        return step

    async def answers(self) -> list[Any]:
        """The answers of earlier attempts' model calls, whether or not they were replayed."""
        return [await self._response(step) for step in self._answered]

    def asked(self, request: bytes) -> None:
        """A framework asks a model: it knows of the calls that are in its request."""
        self._forgotten.know(request)

    def answered(self, response: Any, *, is_new: bool) -> None:
        """A framework gets an answer: it will know of the calls in it; `is_new`: no attempt before this got it."""
        self._forgotten.answered(response, is_new=is_new)

    async def forgotten(self, key: str, name: str) -> Step | None:
        """A call of the same tool that an earlier attempt began, and that the conversation has lost since; each once.

        The model was asked again, and wants what may be the same thing under another id and in other words.
        """
        step = await self._forgotten.like(key, name, self._unused)
        return step and step.model_copy(update={"response": await self._response(step)})

    def diverged(self, request: bytes) -> bool:
        """Whether recorded model calls are left that the turn, run again, did not ask for.

        A runtime that goes on from its own transcript asks for none of those that came before a tool call whose id
        is in the request: it has their answers.
        """
        known = max((ordinal for key, ordinal in self._calls.items() if key.encode() in request), default=0)
        left = (step for step in self._unused if step.kind is StepKind.MODEL_CALL and step.status is StepStatus.DONE)
        return any(step.ordinal > known for step in left)

    def is_answered(self, key: str) -> bool:
        """Whether the journal answers a tool call with this id, so that it need not be run."""
        return any(step.key == key and step.status is StepStatus.DONE for step in self._unused)

    def begin(self, kind: StepKind, **fields: Any) -> Step:
        """A new step, `claimed`, with the next ordinal; it is not stored yet."""
        step = Step(ordinal=self._next, kind=kind, status=StepStatus.CLAIMED, attempt=self._attempt, **fields)
        if kind is StepKind.TOOL_CALL:
            self._calls[step.key] = step.ordinal
        self._next += 1
        return step

    def again(self, step: Step) -> Step:
        """A step that an earlier attempt claimed, claimed by this one; what it uses was counted there."""
        return step.model_copy(update={"attempt": self._attempt, "status": StepStatus.CLAIMED, "usage": Usage()})

    async def write(self, step: Step, events: Sequence[NewEvent] = (), *, used: Sequence[UUID] = ()) -> None:
        """Store a step as it is now; a step with the same ordinal is replaced, its request is kept if this has none.

        `used` are the approvals that this acts upon.

        Raises:
            RuntimeFailure: as `StepWriter.write`.
        """
        if step.status is not StepStatus.UNKNOWN:
            self._mine[step.ordinal] = step.usage
        await self._writer.write(step, events, used=used)

    async def _response(self, step: Step) -> Any:
        return step.response if step.response_blob is None else await self._fetch(step.response_blob)

    def _take(self, kind: StepKind, hashes: Sequence[str], fingerprints: Sequence[str], key: str) -> Step | None:
        mine = [step for step in self._unused if step.kind is kind]
        same = [step for digest in hashes for step in mine if step.hash == digest]
        alike = [step for step in mine if step.fingerprint and step.fingerprint in fingerprints]
        named = [step for step in same if step.key == key]
        for step in (*named, *same, *alike):
            self._unused.remove(step)
            return step
        return None


def _is_answer(step: Step) -> bool:
    return step.kind is StepKind.MODEL_CALL and step.status is StepStatus.DONE


def canonical_hash(*parts: Any) -> str:
    """The SHA-256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def without_volatile(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request's body without what may differ between two runs of a turn."""
    return {name: value for name, value in body.items() if name not in VOLATILE}
