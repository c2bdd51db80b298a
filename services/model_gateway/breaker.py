"""Circuit breakers: a provider that is down is not asked by every turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from runtimes.errors import ModelOverloaded
from runtimes.types import ModelEndpoint


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """After so many failures in a row, none long after the other, a model is left alone for so many seconds."""

    failures: int = 20
    open_seconds: float = 15.0
    forget_seconds: float = 60.0


class Breaker:
    """One model of one provider: closed, open, or half open, when one call finds out for all.

    Our own because purgatory, the library for asyncio, lets every call through once it is half open, and takes a
    cancelled call for a failed one.
    """

    def __init__(self, limits: BreakerLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = 0
        self._failed_at = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused now."""
        return self._failures >= self._limits.failures and (self._is_probing or self.opens_in > 0)

    @property
    def opens_in(self) -> float:
        """Seconds until the next call may find out."""
        return self._failed_at + self._limits.open_seconds - self._clock()

    def enter(self, endpoint: ModelEndpoint) -> None:
        """Ask to make a call; `succeeded`, `failed` or `left` has to follow.

        Raises:
            ModelOverloaded: not now.
        """
        if self.is_open:
            raise ModelOverloaded(
                f"Model '{endpoint.model}' of provider '{endpoint.provider}' failed {self._failures} times in a row"
                " and is left alone for a while.",
                retry_after=max(self.opens_in, 1.0),
            )
        self._is_probing = self._failures >= self._limits.failures

    def succeeded(self) -> None:
        """The provider answered, if only to say that the request is wrong."""
        self._failures = 0
        self._is_probing = False

    def failed(self) -> None:
        """The provider is down or overloaded."""
        now = self._clock()
        is_stale = now - self._failed_at > self._limits.forget_seconds and not self._is_probing
        self._failures = 1 if is_stale else self._failures + 1
        self._failed_at = now
        self._is_probing = False

    def left(self) -> None:
        """The call was given up before anything was known."""
        self._is_probing = False


@dataclass(slots=True)
class Breakers:
    """A breaker for every provider and model."""

    limits: BreakerLimits = field(default_factory=BreakerLimits)
    clock: Callable[[], float] = monotonic
    _known: dict[tuple[str, str], Breaker] = field(default_factory=dict[tuple[str, str], Breaker])

    def of(self, endpoint: ModelEndpoint) -> Breaker:
        """The breaker of an endpoint's model."""
        key = (endpoint.provider, endpoint.model)
        return self._known.setdefault(key, Breaker(self.limits, self.clock))
