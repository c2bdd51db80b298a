"""One model call of a framework, from its request to its answer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from runtimes.errors import (
    BudgetExceeded,
    ConfigurationInvalid,
    ModelAnswerEmpty,
    ModelAnswerInvalid,
    ModelConnectionBroken,
    ModelFailure,
    ModelNotFound,
    ModelOverloaded,
    ModelQuotaExhausted,
    ModelRequestRejected,
    ModelTimeout,
)
from runtimes.types import ModelEndpoint
from services.budget import Estimate, Hold, Limits
from services.control_plane_client.models import LARGEST_ANSWER, NewEvent, StepKind, StepStatus
from services.dialects import Dialect
from services.journal import canonical_hash, without_volatile
from services.model_gateway.breaker import Breaker, Breakers
from services.model_gateway.dialects import Dialects
from services.model_gateway.door import Door
from services.model_gateway.errors import ModelAnswerTooLarge, ModelSilent, of_body
from services.model_gateway.errors import failure as failure_of
from services.model_gateway.pricing import Tokens, is_priced, usage
from services.model_gateway.provider import ProviderAnswer, ProviderClient, ProviderRequest
from services.model_gateway.recorded_calls import asked_calls, end_of, results_of
from services.model_gateway.relay import Relay
from services.model_gateway.reply import Reply
from services.model_gateway.sessions import OpenSession
from services.model_gateway.tries import Try
from services.model_gateway.wires.wire import CHAT, Answers, ModelWire, kind_of
from services.turn_control import budget_question

#: Bytes of a request that count as one token before the provider has counted them.
BYTES_PER_TOKEN = 4
#: Where another model can be asked, nobody waits longer for this one, in seconds.
PATIENCE_BEFORE_FALLBACK = 5.0
#: Parts in which an answer may come: a provider that pauses more often is not asked to go on.
_MOST_PARTS = 20
_BACKOFF = wait_exponential(multiplier=0.25, max=8.0) + wait_random(0, 0.25)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What a framework sent."""

    wire: ModelWire
    body: dict[str, Any]
    raw: bytes
    query: str
    headers: Mapping[str, str]
    began: float
    #: The turn's answers so far.
    answers: Answers = field(default_factory=dict[str, Mapping[str, Any]])
    #: Blocks of a paused answer that this goes on with.
    after: int = 0

    @property
    def model(self) -> str:
        """The model's name, as the framework knows it."""
        return str(self.body.get("model"))

    @property
    def is_streamed(self) -> bool:
        """Whether the answer is wanted event by event."""
        return self.wire.streams and bool(self.body.get("stream"))

    def estimate(self, endpoint: ModelEndpoint, limits: Limits) -> Estimate:
        """About what the call will use at an endpoint, of what is limited."""
        whole = self.most()
        asked = Tokens(input=whole.input)
        tokens = asked.input, asked.input + whole.output
        if limits.cost_usd is None:
            return Estimate(tokens)
        least, most = (usage(each, endpoint).cost_usd or 0.0 for each in (asked, whole))
        return Estimate(tokens, (least, most))

    def most(self) -> Tokens:
        """About the tokens of the longest answer that it asks for."""
        return Tokens(input=len(self.raw) // BYTES_PER_TOKEN, output=self.wire.max_output(self.body))

    def continued(self, record: Mapping[str, Any]) -> "CallRequest":
        """The request that goes on with a paused answer."""
        body, after = self.wire.continued(self.body, record, self.after)
        return replace(self, body=body, raw=orjson.dumps(body), after=after)

    def digest(self) -> str:
        """The hash of all that makes an answer its own."""
        return canonical_hash(self.wire.path, self.wire.canonical(without_volatile(self.body)))

    def fingerprint(self) -> str:
        """The hash of the structure, and of texts without what time and chance put there."""
        return self._shape(self.wire.canonical(self.body))

    def former(self) -> tuple[str, str]:
        """Hash and fingerprint as they are in journals of before requests had a canonical form."""
        return canonical_hash(self.wire.path, without_volatile(self.body)), self._shape(self.body)

    def _shape(self, body: Mapping[str, Any]) -> str:
        return canonical_hash(self.wire.path, self.model, self.is_streamed, list(self.wire.shape(body)))

    def spoken(self, dialect: Dialect) -> Mapping[str, Any]:
        """The body in a provider's dialect, with what it wants back of the turn's answers."""
        return dialect.spoken(self.wire.prepared(self.wire.restored(self.body, self.answers)))

    def to(self, endpoint: ModelEndpoint, dialect: Dialect) -> ProviderRequest:
        """The request as a provider gets it."""
        body = self.spoken(dialect)
        if body is self.body and self.model == endpoint.model:
            return ProviderRequest(self.wire.path, self.query, self.headers, self.raw, self.is_streamed)
        raw = orjson.dumps({**body, "model": endpoint.model})
        return ProviderRequest(self.wire.path, self.query, self.headers, raw, self.is_streamed)


class ModelCall:
    """Journal, cache, budget, provider, commit, answer: in this order.

    Raises:
        RuntimeFailure: there is no answer, or it could not be stored.
    """

    def __init__(
        self,
        request: CallRequest,
        opened: OpenSession,
        reply: Reply,
        client: ProviderClient,
        breakers: Breakers,
        dialects: Dialects,
    ) -> None:
        self._request = request
        self._opened = opened
        self._session = opened.session
        self._reply = reply
        self._client = client
        self._breakers = breakers
        self._dialects = dialects
        self._digest = request.digest()
        self._fingerprint = request.fingerprint()
        self._events: list[NewEvent] = []
        self._parts: list[Mapping[str, Any]] = []
        self._before = b""

    async def run(self) -> None:
        """Answer the call."""
        await self._ask_leave()
        while True:
            record = await self._recorded() or await self._cached()
            is_live = record is None
            record = await self._ask_models() if record is None else record
            if not self._request.wire.is_paused(record) or len(self._parts) == _MOST_PARTS:
                break
            self._go_on(record, is_live=is_live)
        if not is_live:
            self._note(record)
            await self._give(record)

    def _go_on(self, record: Mapping[str, Any], *, is_live: bool) -> None:
        """Ask from now on for the rest of an answer that its provider has paused; each part is a step of its own."""
        if self._request.is_streamed and not is_live:
            self._before += self._part(record)
        self._parts.append(record)
        self._request = self._request.continued(record)
        self._digest, self._fingerprint = self._request.digest(), self._request.fingerprint()

    def _part(self, record: Mapping[str, Any]) -> bytes:
        """Write an answer that goes on as a stream has it: all but its end."""
        wire = self._request.wire
        return wire.stream([event for event in record["events"] if kind_of(event) not in wire.ends])

    async def _give(self, record: Mapping[str, Any]) -> None:
        """Answer from the journal."""
        wire = self._request.wire
        if "events" in record:
            await self._reply.end(self._before + wire.stream(record["events"]))
        else:
            self._reply.whole(orjson.dumps(wire.joined([*self._parts, record])["body"]))

    async def _ask_leave(self) -> None:
        """The turn's limits are kept here, however the framework loops."""
        if self._session.calls is not None and self._request.wire.operation == CHAT:
            await self._session.calls.asking(results_of(self._request.body))

    def _note(self, record: Mapping[str, Any]) -> None:
        """Note the calls that the model asks for, before the framework can act upon them."""
        wire = self._request.wire
        self._opened.answers.note(wire, record)
        if self._session.calls is not None and wire.operation == CHAT and not wire.is_paused(record):
            self._session.calls.answered(end_of(record), asked_calls(wire, record, self._request.body))

    async def _recorded(self) -> Any:
        """The answer of an earlier attempt. A call that was only begun has none, but stands for its own request."""
        journal, fingerprint = self._session.journal, self._fingerprint
        journal.asked(self._request.raw)
        former = self._request.former() if journal.has_calls else ()
        known = (self._digest, *former[:1])
        while step := await journal.replay(
            StepKind.MODEL_CALL, digest=self._digest, fingerprint=fingerprint, former=former
        ):
            if step.status is StepStatus.DONE:
                self._session.model = step.name
                self._session.trace.replayed(step)
                journal.answered(step.response, is_new=False)
                return step.response
            if step.hash in known:
                fingerprint, former = "", former[:1]
        if fingerprint and journal.diverged(self._request.raw):
            self._events = [NewEvent(type="journal.diverged", data={"kind": StepKind.MODEL_CALL})]
        return None

    async def _cached(self) -> Any:
        cache, policy = self._session.cache, self._session.policy.response_cache
        record = await cache.get(self._digest) if cache is not None and policy is not None else None
        if record is not None:
            self._session.journal.metrics.cached()
            self._session.journal.answered(record, is_new=True)
            self._session.model = self._request.model
            step = self._session.journal.begin(
                StepKind.MODEL_CALL, name=self._request.model, key="cache", **self._identity()
            )
            await self._session.journal.write(
                step.model_copy(update={"status": StepStatus.DONE, "response": record}), self._events
            )
        return record

    async def _ask_models(self) -> Mapping[str, Any]:
        self._request = replace(self._request, answers=await self._opened.answers.known(self._request.wire))
        endpoints = self._opened.models(self._request.model)
        self._check_prices(endpoints)
        for endpoint in endpoints:
            is_last = endpoint is endpoints[-1]
            try:
                return await self._ask(endpoint, is_last=is_last)
            except ModelFailure as failure:
                if is_last or self._reply.has_begun or not _may_fall_back(failure):
                    raise
        raise ModelNotFound(f"The agent has no model '{self._request.model}'.")

    async def _ask(self, endpoint: ModelEndpoint, *, is_last: bool) -> Mapping[str, Any]:
        """Ask in the model's dialect; what a refusal teaches is kept unless the better request is refused as well."""
        dialect = before = self._dialects.of(endpoint)
        while True:
            try:
                return await self._ask_in(dialect, endpoint, is_last=is_last)
            except ModelRequestRejected as failure:
                sent = self._request.spoken(dialect)
                learnt = self._dialects.learnt(endpoint, before, dialect, sent, failure.message)
                if learnt is None or self._reply.has_begun:
                    self._dialects.forget(endpoint, dialect, before)
                    raise
                self._dialects.keep(endpoint, dialect := learnt)

    async def _ask_in(self, dialect: Dialect, endpoint: ModelEndpoint, *, is_last: bool) -> Mapping[str, Any]:
        breaker, retries = self._breakers.of(endpoint), self._session.policy.model_retries
        patience = retries.max_wait_seconds if is_last else PATIENCE_BEFORE_FALLBACK

        def may_retry(error: BaseException) -> bool:
            fits = isinstance(error, ModelSilent) or (isinstance(error, ModelFailure) and error.retryable)
            return fits and not self._reply.has_begun and not breaker.is_open

        def is_enough(state: RetryCallState) -> bool:
            return state.attempt_number >= retries.attempts or state.idle_for + state.upcoming_sleep > patience

        retrying = AsyncRetrying(retry=retry_if_exception(may_retry), wait=_wait, stop=is_enough, reraise=True)
        return await retrying(self._try, dialect, endpoint, breaker)

    async def _try(self, dialect: Dialect, endpoint: ModelEndpoint, breaker: Breaker) -> Mapping[str, Any]:
        budget = self._session.budget
        self._session.on_activity()
        try:
            async with budget.model_call(self._request.estimate(endpoint, budget.limits)) as hold:
                breaker.enter(endpoint)
                return await self._make(self._request.to(endpoint, dialect), endpoint, breaker, hold)
        except BudgetExceeded as failure:
            await self._beyond(failure)
            raise

    async def _make(
        self, asked: ProviderRequest, endpoint: ModelEndpoint, breaker: Breaker, hold: Hold
    ) -> Mapping[str, Any]:
        request, step = self._request, self._identity()
        journal, turn_trace = self._session.journal, self._session.trace
        operation = request.wire.operation
        step["request"] = _kept(request)
        made = Try(journal, turn_trace, endpoint, request.began, operation, request.most(), **step)
        relay = self._relay(endpoint)
        try:
            async with self._client.post(endpoint, asked, self._session.policy.model_timeouts) as answer:
                breaker.left()
                record = await self._take(made, relay, answer, endpoint)
                breaker.succeeded()
                return record
        except ModelFailure as failure:
            _judge(failure, breaker)
            await asyncio.shield(self._opened.keep(made.failed(failure, relay.recording)))
            raise
        finally:
            if (writing := made.abandoned(relay.recording)) is not None:
                breaker.left()
                self._opened.keep(writing)
            hold.used = made.used

    def _relay(self, endpoint: ModelEndpoint) -> Relay:
        request = self._request
        door = Door(request.wire.mender(request.body, self._digest, request.after))
        recording = request.wire.recording(request.body)
        return Relay(recording, door, self._reply, endpoint, self._session.on_activity, self._before)

    async def _take(
        self, made: Try, relay: Relay, answer: ProviderAnswer, endpoint: ModelEndpoint
    ) -> Mapping[str, Any]:
        """Read the answer, commit it, then let the framework see its end."""
        if self._request.is_streamed and not answer.is_whole:
            await relay.run(answer)
            made.answered_by(relay.recording.model)
            record, kept = {"events": relay.recording.events}, relay.kept
        else:
            record, kept = await self._whole(made, relay, answer, endpoint)
        self._refuse_silence(record, endpoint)
        _check_size(answer.size, record, endpoint)
        await self._commit(made, record, relay.recording.tokens, relay.first_token_at)
        await self._tell(record, kept, relay)
        return record

    async def _tell(self, record: Mapping[str, Any], kept: bytes, relay: Relay) -> None:
        """Let the framework see the end of an answer that is in the journal; a paused one has none yet."""
        wire = self._request.wire
        if wire.is_paused(record) and len(self._parts) < _MOST_PARTS:
            self._before = relay.kept_but(wire.ends) if relay.recording.events else self._before + self._part(record)
        elif self._request.is_streamed:
            await self._reply.end(kept)
        elif self._parts:
            await self._give(record)
        else:
            self._reply.whole(kept)

    async def _whole(
        self, made: Try, relay: Relay, answer: ProviderAnswer, endpoint: ModelEndpoint
    ) -> tuple[dict[str, Any], bytes]:
        """An answer that came whole, for the journal and for the framework: as a stream where it wants one."""
        wire, recording = self._request.wire, relay.recording
        raw, body = await answer.whole()
        self._check(body, endpoint)
        recording.tokens, recording.is_complete = wire.tokens(body), True
        made.answered_by(body.get("model"))
        raw = orjson.dumps(body) if relay.door.mender.whole(body) else raw
        if not self._request.is_streamed:
            return {"body": body}, raw
        events = wire.streamed(body, self._request.after)
        return {"events": events}, self._before + wire.stream(events)

    async def _commit(self, made: Try, record: Any, tokens: Tokens, first_token_at: float | None) -> None:
        """Write the step, even if the framework goes away meanwhile."""
        await asyncio.shield(self._opened.keep(made.done(record, tokens, first_token_at, self._events)))
        self._events = []
        self._session.journal.answered(record, is_new=True)
        self._session.model = made.model
        self._note(record)
        cache, policy = self._session.cache, self._session.policy.response_cache
        is_asked_for = made.endpoint is self._opened.models(self._request.model)[0]
        if cache is not None and policy is not None and is_asked_for:
            self._opened.keep(cache.put(self._digest, record, policy.ttl_seconds))

    def _check(self, body: Mapping[str, Any], endpoint: ModelEndpoint) -> None:
        if self._request.wire.is_answer(body):
            return
        if body.get("error"):
            raise of_body(body, endpoint)
        raise failure_of(ModelAnswerInvalid, str(body)[:200], endpoint)

    def _refuse_silence(self, record: Mapping[str, Any], endpoint: ModelEndpoint) -> None:
        """An empty answer is none, unless it follows the results of tools: the next try may get one.

        Thoughts without a word are paid for, and come again when they are asked for again.
        """
        wire = self._request.wire
        if not wire.is_silent(record) or wire.has_results(self._request.body):
            return
        if wire.is_thought(record):
            raise failure_of(ModelAnswerEmpty, "it has thoughts, but not a word", endpoint)
        raise failure_of(ModelSilent, "its answer is empty", endpoint)

    def _check_prices(self, endpoints: list[ModelEndpoint]) -> None:
        limit = self._session.budget.limits.cost_usd
        unknown = next((endpoint for endpoint in endpoints if limit is not None and not is_priced(endpoint)), None)
        if unknown is not None:
            raise ConfigurationInvalid(
                f"The execution's cost is limited, but the price of '{unknown.provider}/{unknown.model}' is not known.",
                hint="Limit tokens instead of cost_usd, or use a model with a known price.",
            )

    async def _beyond(self, failure: BudgetExceeded) -> None:
        """At a limit: the turn ends, or waits for a human."""
        if self._session.pause_on_budget and not failure.is_inherited:
            await self._session.control.ask(budget_question(failure, self._session.budget, of_call=False))
        raise failure

    def _identity(self) -> dict[str, Any]:
        return {"hash": self._digest, "fingerprint": self._fingerprint}


def _check_size(came: int, record: Mapping[str, Any], endpoint: ModelEndpoint) -> None:
    """Refuse an answer that the journal does not take; what has come was more than is kept of it."""
    if came > LARGEST_ANSWER and (size := len(orjson.dumps(record))) > LARGEST_ANSWER:
        raise failure_of(ModelAnswerTooLarge, f"it has {size} bytes, {LARGEST_ANSWER} are the most", endpoint)


def _kept(request: CallRequest) -> dict[str, Any]:
    return {"path": request.wire.path, "body": request.body}


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    told = error.retry_after if isinstance(error, ModelFailure) else None
    return _BACKOFF(state) if told is None else told


def _judge(failure: ModelFailure, breaker: Breaker) -> None:
    """Tell the breaker whether the provider is down, or only does not want this request."""
    is_down = isinstance(failure, ModelOverloaded | ModelTimeout | ModelConnectionBroken)
    if is_down or type(failure) is ModelFailure:
        breaker.failed()
    else:
        breaker.succeeded()


def _may_fall_back(failure: ModelFailure) -> bool:
    """Whether another model may be asked: not for what the request itself brings about, thoughts without a word too."""
    return failure.retryable or isinstance(failure, ModelNotFound | ModelQuotaExhausted | ModelSilent)
