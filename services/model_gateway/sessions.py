"""What one attempt may ask of the gateway, under one token."""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from runtimes.errors import ConfigurationInvalid, RuntimeFailure
from runtimes.types import FinishReason, ModelEndpoint
from services.asked_calls import AskedCall
from services.budget import Budget
from services.journal import Journal
from services.model_gateway.answers import TurnAnswers
from services.model_gateway.policy import ModelPolicy
from services.providers import ProviderRegistry
from services.tracing import TurnTrace
from services.turn_control import TurnControl

#: What the journal gets at a session's end to take what is still to be written, in seconds.
SETTLE_SECONDS = 2.0


class ResponseCache(Protocol):
    """Answers to exactly the same requests, of one organization and one version of an agent."""

    async def get(self, digest: str) -> Any | None:
        """The answer that was put there, if it is not too old."""
        ...

    async def put(self, digest: str, response: Any, ttl: float) -> None:
        """Keep an answer for so many seconds."""
        ...


class CallBook(Protocol):
    """Hears what the model asks for, and what the framework makes of it."""

    async def asking(self, results: Mapping[str, str]) -> None:
        """The framework is about to ask the model, with results of tools by their calls' ids.

        Raises:
            RuntimeFailure: the model may not be asked any more.
        """
        ...

    def answered(self, finish: FinishReason, calls: Sequence[AskedCall]) -> None:
        """The model has answered; the framework has not seen the end yet."""
        ...


def _nothing() -> None:
    """Nobody listens."""


@dataclass(slots=True)
class ModelSession:
    """An attempt's model calls: what they are checked against and where they are kept.

    `on_activity` hears whenever a call comes or a provider says something. `pause_on_budget` asks a human at a limit
    of the budget, where otherwise the turn ends. `failure` is why the last call failed, None once one succeeded;
    `model` is who answered last. `calls` are the turn's tool calls, with its limits; `unasked` are parameters that the
    agent's definition does not set, so that no provider gets them.
    """

    journal: Journal
    budget: Budget
    control: TurnControl
    model_id: str
    policy: ModelPolicy = field(default_factory=ModelPolicy)
    cache: ResponseCache | None = None
    on_activity: Callable[[], None] = _nothing
    pause_on_budget: bool = False
    failure: RuntimeFailure | None = None
    model: str = ""
    calls: CallBook | None = None
    unasked: frozenset[str] = frozenset()
    trace: TurnTrace = field(default_factory=TurnTrace)


class OpenSession:
    """A session with its token's models and with what is going on in it."""

    def __init__(self, session: ModelSession, providers: ProviderRegistry) -> None:
        self.session = session
        self.endpoints = _endpoints(session, providers)
        self.answers = TurnAnswers(session.journal)
        self._handlers: set[asyncio.Task[Any]] = set()
        self._writes: set[asyncio.Task[Any]] = set()

    @property
    def primary(self) -> ModelEndpoint:
        """The agent's own model."""
        return self.endpoints[0]

    def models(self, name: str) -> list[ModelEndpoint]:
        """Who is asked for a model, in order; empty if the agent has no such model."""
        if name == self.session.model_id:
            return self.endpoints
        at = next((at for at, endpoint in enumerate(self.endpoints) if endpoint.model == name), None)
        return [] if at is None else self.endpoints[at:]

    def enter(self, handler: "asyncio.Task[Any]") -> None:
        """A call has come: it is ended with the session."""
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    def keep(self, write: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Write something, whoever goes away meanwhile."""
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(self._kept)
        return task

    def _kept(self, task: "asyncio.Task[None]") -> None:
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """End every call; what they have still to write is written."""
        handlers = [handler for handler in self._handlers if handler is not asyncio.current_task()]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=SETTLE_SECONDS)
            for write in late:
                write.cancel()


class Sessions:
    """The open sessions by their tokens."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, tuple[str, OpenSession]] = {}

    def add(self, session: OpenSession) -> str:
        """Give a session its token."""
        token = f"hf-{secrets.token_urlsafe(32)}"
        self._by_digest[_digest(token)] = (token, session)
        return token

    def remove(self, token: str) -> None:
        """Forget a token."""
        self._by_digest.pop(_digest(token), None)

    def find(self, token: str) -> OpenSession | None:
        """Whose token it is; how long that takes tells nothing about it."""
        known, session = self._by_digest.get(_digest(token), ("", None))
        return session if hmac.compare_digest(known.encode(), token.encode(errors="replace")) else None


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="replace")).digest()


def _endpoints(session: ModelSession, providers: ProviderRegistry) -> list[ModelEndpoint]:
    """The agent's model and its fallbacks, with their keys."""
    primary = providers.resolve(session.model_id)
    fallbacks = [providers.resolve(model_id) for model_id in session.policy.model_fallbacks]
    for model_id, endpoint in zip(session.policy.model_fallbacks, fallbacks, strict=True):
        if endpoint.wire is not primary.wire:
            raise ConfigurationInvalid(
                f"The fallback '{model_id}' speaks another wire ({endpoint.wire}) than '{session.model_id}'.",
                hint="Name fallbacks of the same wire in model_fallbacks.",
            )
    return [primary, *fallbacks]
