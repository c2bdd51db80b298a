"""What Holdfast adds to the provider's own time to first token, and where it goes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from tests.benchmarks.report import Result
from tests.benchmarks.system import AGNO, System

WARM_UP = 5
ROUNDS = 60

#: A short stream: the execution is over soon after its first token.
SCRIPT = "[[emit 10 @100]]"


@dataclass(frozen=True, slots=True)
class Sample:
    """One execution's moments, in ms from POST.

    `provider` is a direct call's time to first token, `activity` a bare workflow's to its activity.
    """

    provider: float
    activity: float
    answered: float
    turn_started: float
    model_called: float
    model_answered: float
    first_token: float

    @property
    def added(self) -> float:
        return self.first_token - self.provider


@dataclass
class FirstToken:
    """All samples."""

    samples: list[Sample] = field(default_factory=list[Sample])

    def results(self) -> list[Result]:
        """The figures."""
        added = self._median(lambda each: each.added)
        relay = self._median(lambda each: each.first_token - each.model_answered)
        provider = round(self._median(lambda each: each.provider), 3)
        return [
            Result("first_token_added_p50_ms", round(added, 3), "ms", baseline=provider).at_most(30),
            Result.of("first_token_relay_p50_ms", relay, "ms"),
            Result.of("bare_activity_start_p50_ms", self._median(lambda each: each.activity), "ms"),
        ]

    def story(self) -> list[tuple[str, float]]:
        """Where the time goes: medians of moments, in ms from POST."""
        return [
            ("POST is answered", self._median(lambda each: each.answered)),
            ("(a bare workflow's activity would run)", self._median(lambda each: each.activity)),
            ("turn.started is at the reader", self._median(lambda each: each.turn_started)),
            ("the provider has the request", self._median(lambda each: each.model_called)),
            ("the provider sends its first byte", self._median(lambda each: each.model_answered)),
            ("the first text is at the reader", self._median(lambda each: each.first_token)),
        ]

    def _median(self, of: Callable[[Sample], float]) -> float:
        return median(of(sample) for sample in self.samples)


async def measure(system: System) -> FirstToken:
    """A direct call and an execution with the same prompt, in turns."""
    samples = [await _sample(system, number) for number in range(WARM_UP + ROUNDS)]
    return FirstToken(samples[WARM_UP:])


async def _sample(system: System, number: int) -> Sample:
    provider = await system.model.first_token(f"direct-{number} {SCRIPT}")
    prompt = f"relay-{number} {SCRIPT}"
    bare_began = time.time()
    bare = _since(bare_began, await system.run_bare(prompt))
    began = time.time()
    execution = await system.api.start(AGNO, prompt)
    answered = time.time()
    seen = await _firsts(system, execution)
    call = await system.model.call(prompt)
    called = datetime.fromisoformat(call["received_at"]).timestamp()
    return Sample(
        provider * 1000,
        *bare,
        *_since(began, answered, seen["turn.started"], called, called + call["ms_to_first_byte"] / 1000),
        *_since(began, seen["message.delta"]),
    )


async def _firsts(system: System, execution: str) -> dict[str, float]:
    """When each type of event came first; the whole log is read, so that the next sample begins in peace."""
    seen: dict[str, float] = {}
    async for event in system.api.events(execution):
        seen.setdefault(event.type, event.at)
    return seen


def _since(began: float, *moments: float) -> Sequence[float]:
    return [(moment - began) * 1000 for moment in moments]
