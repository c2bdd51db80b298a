"""What the turns of a worker come to, for Prometheus: every metric that a turn counts is defined here."""

from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from runtimes.errors import AttemptFenced, RuntimeFailure
from runtimes.turns import TurnOutcome
from runtimes.types import ModelEndpoint, Usage
from services.control_plane_client.models import StepKind

#: Values of a label that others choose; what comes after so many is counted as `other`.
MOST_VALUES = 100
OTHER = "other"
#: How a tool call or a model call ended.
COMPLETED, FAILED, REFUSED, UNKNOWN, ABANDONED = "completed", "failed", "refused", "unknown", "abandoned"
#: An attempt that a newer one has shut out.
FENCED = "fenced"
#: The code of what nobody expected to be raised.
UNEXPECTED = "internal_error"

#: Upper bounds in seconds: turns take minutes, first words seconds.
TURN_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)

_TOKENS = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}


class Bounded:
    """Lets the first values of a label through, and calls the rest `other`: a label must not grow for ever."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= self._most:
                return OTHER
            self._seen.add(value)
        return value


class TurnMetrics:
    """Counts what one worker's turns do. Nothing here waits, and nothing names an execution or an organization."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"holdfast_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> Histogram:
            return Histogram(f"holdfast_{name}_seconds", text, labels, buckets=bounds, registry=registry)

        model = ("provider", "model")
        self._responses = seconds(
            "agent_response", "Attempts at turns, from taking one to its end.", ("runtime", "outcome"), TURN_SECONDS
        )
        self._first_tokens = seconds(
            "first_token", "Turns, from taking one to its first piece of text.", ("runtime",), TOKEN_SECONDS
        )
        self._attempts = counter("attempts", "Attempts at turns that ended here.", "runtime", "outcome")
        self._errors = counter("errors", "Attempts that failed, by the error's code.", "runtime", "code")
        self._tools = counter("tool_invocations", "Tool calls, replayed ones left out.", "tool", "outcome")
        self._calls = counter("model_calls", "Requests to providers, replayed ones left out.", *model, "outcome")
        self._call_seconds = seconds("model_call", "Requests to providers, to their end.", model, TURN_SECONDS)
        self._call_tokens = seconds(
            "model_first_token", "Streamed requests to providers, to the first token.", model, TOKEN_SECONDS
        )
        self._call_errors = counter("model_errors", "Requests to providers that failed.", "provider", "code")
        self._tokens = counter("tokens", "Tokens; `input` includes `cached_input`.", *model, "kind")
        self._cost = counter("cost_usd", "What model calls cost, where that is known.", *model)
        self._unpriced = counter("unpriced_model_calls", "Model calls of which is not known what they cost.", *model)
        self._replays = counter("journal_replays", "Steps answered by the journal.", "kind")
        self._cached = counter("response_cache_hits", "Model calls answered by the response cache.")
        self._model, self._code = Bounded(), Bounded()

    async def attempt(self, runtime: str, run: Coroutine[Any, Any, TurnOutcome]) -> TurnOutcome:
        """Run an attempt and count it.

        Raises:
            RuntimeFailure: as the attempt does.
        """
        began, outcome, code = perf_counter(), FAILED, UNEXPECTED
        try:
            ended = await run
            outcome, code = ended.status, ended.error.code if ended.error else ""
            return ended
        except RuntimeFailure as failure:
            outcome, code = (FENCED, "") if isinstance(failure, AttemptFenced) else (FAILED, failure.code)
            raise
        finally:
            self._ended(runtime, outcome, code, perf_counter() - began)

    def _ended(self, runtime: str, outcome: str, code: str, seconds: float) -> None:
        self._attempts.labels(runtime, outcome).inc()
        self._responses.labels(runtime, outcome).observe(seconds)
        if code:
            self._errors.labels(runtime, self._code(code)).inc()

    def first_token(self, runtime: str) -> Callable[[], None]:
        """What is to be called with each piece of text from now on; the first call counts."""
        began, waits = perf_counter(), True

        def spoke() -> None:
            nonlocal waits
            if waits:
                waits = False
                self._first_tokens.labels(runtime).observe(perf_counter() - began)

        return spoke

    def tool_called(self, tool: str, outcome: str) -> None:
        """A call ended; `tool` is a name that Holdfast itself gives, see `ToolSpec.label`."""
        self._tools.labels(tool, outcome).inc()

    def model_called(
        self, endpoint: ModelEndpoint, outcome: str, code: str, used: Usage, taken: float, first_token: float | None
    ) -> None:
        """A request to a provider ended; `code` is its error's, the times are seconds from the request."""
        model = endpoint.provider, self._model(endpoint.model)
        self._calls.labels(*model, outcome).inc()
        self._call_seconds.labels(*model).observe(taken)
        if first_token is not None:
            self._call_tokens.labels(*model).observe(first_token)
        if outcome == FAILED:
            self._call_errors.labels(endpoint.provider, self._code(code)).inc()
        for kind, field in _TOKENS.items():
            if tokens := getattr(used, field):
                self._tokens.labels(*model, kind).inc(tokens)
        if used.cost_usd is None:
            self._unpriced.labels(*model).inc()
        elif used.cost_usd:
            self._cost.labels(*model).inc(used.cost_usd)

    def replayed(self, kind: StepKind) -> None:
        """The journal answered."""
        self._replays.labels(kind).inc()

    def cached(self) -> None:
        """The response cache answered."""
        self._cached.inc()
