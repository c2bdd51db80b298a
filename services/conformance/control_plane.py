"""A control plane in memory: the worker API for turns, and nothing that outlives the check."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from pydantic import BaseModel

from runtimes.errors import AttemptFenced
from runtimes.types import Effect, Message
from services.control_plane_client.client import ControlPlaneClient
from services.control_plane_client.models import (
    AgentSpec,
    AppendEntries,
    AppendEvents,
    AttemptOpened,
    CloseAttempt,
    NewEvent,
    OpenAttempt,
    Step,
    StepKind,
    StepStatus,
)

_EXECUTION = "/internal/v1/executions/{execution}"
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(slots=True)
class Journal:
    """What an attempt leaves to the next one."""

    steps: dict[int, Step] = field(default_factory=dict[int, Step])
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    told: list[str] = field(default_factory=list[str])
    offered: str | None = None

    def copy(self) -> "Journal":
        """The same journal, to be gone on with elsewhere."""
        entries = {name: list(entries) for name, entries in self.entries.items()}
        return Journal(dict(self.steps), entries, list(self.told), self.offered)

    @property
    def workspace(self) -> str | None:
        """The blob that lists the workspace's files, as the last step left them."""
        kept = [step.workspace for _, step in sorted(self.steps.items()) if step.workspace is not None]
        return kept[-1] if kept else None

    def cut_off(self) -> list[NewEvent]:
        """End the steps that no attempt has in hand any more."""
        ended: list[NewEvent] = []
        for step in [step for step in self.steps.values() if step.status is StepStatus.CLAIMED]:
            is_unknown = step.kind is StepKind.MODEL_CALL or step.effect == Effect.AT_MOST_ONCE
            cut = step.model_copy(update={"status": StepStatus.UNKNOWN if is_unknown else StepStatus.CANCELLED})
            self.steps[step.ordinal] = cut
            if step.kind is StepKind.TOOL_CALL:
                ended.append(NewEvent(type=f"tool.{cut.status}", data={"tool_call_id": step.key, "name": step.name}))
        return ended

    def add(self, step: Step) -> None:
        """Write a step; it keeps its request where the new one has none."""
        before = self.steps.get(step.ordinal)
        kept = {"request": before.request} if before is not None and step.request is None else {}
        self.steps[step.ordinal] = step.model_copy(update=kept)


@dataclass(slots=True)
class TurnRecord:
    """One turn of one execution.

    `pieces` are its texts as they came, `states` the journal after each write, as a killed worker would leave it.
    """

    agent: AgentSpec
    prompt: str
    history: list[Message]
    output_schema: dict[str, Any] | None = None
    attempt: int = 0
    journal: Journal = field(default_factory=Journal)
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    pieces: list[str] = field(default_factory=list[str])
    states: list[Journal] = field(default_factory=list[Journal])
    close: CloseAttempt | None = None
    batches: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def open(self) -> AttemptOpened:
        """Begin the next attempt."""
        self.attempt += 1
        self._tell(self.journal.cut_off())
        return AttemptOpened(
            attempt=self.attempt,
            session_id="checked",
            agent=self.agent,
            prompt=self.prompt,
            history=self.history,
            steps=list(self.journal.steps.values()),
            told=self.journal.told,
            output_schema=self.output_schema,
            offered=self.journal.offered,
            workspace=self.journal.workspace,
        )

    def append(self, request: AppendEvents) -> None:
        """Take a batch, once."""
        if (self.attempt, request.batch) in self.batches:
            return
        self.batches.add((self.attempt, request.batch))
        self._tell(request.events)
        for step in request.steps:
            self.journal.add(step)
        if request.delta is not None:
            self.pieces.append(request.delta.text)
        if request.steps:
            self.remember()

    def end(self, request: CloseAttempt) -> None:
        """Take the close of an attempt."""
        self._tell([*self.journal.cut_off(), *request.events])
        self.close = request

    def remember(self) -> None:
        """Keep the journal as it is now."""
        self.states.append(self.journal.copy())

    def _tell(self, events: list[NewEvent]) -> None:
        self.events += events
        self.journal.told += [event.data["text"] for event in events if event.type == "message.completed"]


class ControlPlaneInMemory:
    """Turns by their executions; attempts that were shut out are refused."""

    def __init__(self) -> None:
        self.turns: dict[str, TurnRecord] = {}
        self._blobs: dict[str, bytes] = {}

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[ControlPlaneClient]:
        """Serve on a free port of this machine; gives a worker's client."""
        runner = web.AppRunner(self._app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            async with aiohttp.ClientSession(f"http://{host}:{port}") as session:
                yield ControlPlaneClient(session)
        finally:
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post(f"{_EXECUTION}/attempts", self._open)
        app.router.add_post(f"{_EXECUTION}/attempts/{{attempt}}/events", self._append)
        app.router.add_post(f"{_EXECUTION}/attempts/{{attempt}}/close", self._close)
        app.router.add_post(f"{_EXECUTION}/attempts/{{attempt}}/entries", self._append_entries)
        app.router.add_get(f"{_EXECUTION}/turns/{{turn}}/entries/{{name}}", self._entries)
        app.router.add_put(f"{_EXECUTION}/attempts/{{attempt}}/offered", self._keep_offered)
        app.router.add_put(f"{_EXECUTION}/blobs", self._keep_blob)
        app.router.add_get(f"{_EXECUTION}/blobs/{{name}}", self._blob)
        return app

    async def _open(self, request: web.Request) -> web.Response:
        OpenAttempt.model_validate_json(await request.read())
        return _model(self._turn(request).open())

    async def _append(self, request: web.Request) -> web.Response:
        body = AppendEvents.model_validate_json(await request.read())
        return self._held(request, lambda turn: turn.append(body))

    async def _close(self, request: web.Request) -> web.Response:
        body = CloseAttempt.model_validate_json(await request.read())
        return self._held(request, lambda turn: turn.end(body))

    async def _append_entries(self, request: web.Request) -> web.Response:
        body = AppendEntries.model_validate_json(await request.read())

        def append(turn: TurnRecord) -> None:
            entries = turn.journal.entries.setdefault(body.name, [])
            entries[body.position :] = body.entries
            turn.remember()

        return self._held(request, append)

    async def _entries(self, request: web.Request) -> web.Response:
        return _json(self._turn(request).journal.entries.get(request.match_info["name"], []))

    async def _keep_offered(self, request: web.Request) -> web.Response:
        name = self._kept(await request.read())

        def offer(turn: TurnRecord) -> None:
            turn.journal.offered = turn.journal.offered or name

        return self._held(request, offer)

    async def _keep_blob(self, request: web.Request) -> web.Response:
        self._kept(await request.read())
        return web.Response(status=204)

    def _kept(self, data: bytes) -> str:
        name = sha256(data).hexdigest()
        self._blobs[name] = data
        return name

    async def _blob(self, request: web.Request) -> web.Response:
        return web.Response(body=self._blobs[request.match_info["name"]])

    def _turn(self, request: web.Request) -> TurnRecord:
        return self.turns[request.match_info["execution"]]

    def _held(self, request: web.Request, write: Callable[[TurnRecord], None]) -> web.Response:
        turn = self._turn(request)
        if turn.attempt != int(request.match_info["attempt"]):
            return _json({"code": AttemptFenced.code, "detail": "A newer attempt has taken over."}, 409)
        write(turn)
        return web.Response(status=204)


def _model(model: BaseModel) -> web.Response:
    return web.Response(body=model.model_dump_json().encode(), content_type="application/json")


def _json(value: Mapping[str, Any] | list[dict[str, Any]], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
