"""The CLI's transcript of a turn: kept entry by entry, and cut to where the turn can go on."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID, uuid5

from runtimes.claude_code_wire import REST
from runtimes.sandbox.command_line import WORKSPACE
from runtimes.types import OwnTools, RuntimeExecutionContext, ToolResult

_NAMES = UUID("3f0b6a52-3c9a-4b0e-8a53-6b0f4a3b9d10")
#: Any time will do; the same one keeps transcripts the same.
_WHEN = "2026-01-01T00:00:00.000Z"
_SHARED = ("sessionId", "timestamp", "cwd", "version", "isSidechain", "userType")

Entry = Mapping[str, Any]
Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """Where the CLI begins.

    `entries` are its transcript; `texts` what the assistant has said in it since the prompt, an item a message;
    `pending` are calls of its last answer that still have to run; `claimed` are calls that this attempt has claimed,
    `recorded` results that the journal has and the transcript has not. `rest` are the calls that were asked for
    again, apart from the others of their answer.
    """

    session: str
    entries: list[Entry]
    resumed: bool = False
    texts: list[str] = field(default_factory=list[str])
    rounds: int = 0
    pending: list[Block] = field(default_factory=list[Block])
    claimed: frozenset[str] = frozenset()
    recorded: Mapping[str, ToolResult] = field(default_factory=dict[str, ToolResult])
    rest: frozenset[str] = frozenset()


def results_of(entry: Entry) -> list[str]:
    """The calls whose results an entry has."""
    return [block["tool_use_id"] for block in _blocks(entry, "tool_result")]


def said_by(entry: Entry, model: str) -> Entry:
    """An entry under the model's name in the agent: the CLI drops the thoughts of models with other names."""
    return {**entry, "message": {**entry["message"], "model": model}} if entry["type"] == "assistant" else entry


def session_of(context: RuntimeExecutionContext) -> str:
    """The CLI's name of the turn."""
    return str(uuid5(_NAMES, f"{context.execution_id}/{context.turn}"))


def fresh(context: RuntimeExecutionContext) -> Start:
    """The session's history, as a transcript."""
    session = session_of(context)
    messages = [message for message in context.history if message.content]
    entries = [_said(session, at, message.role, message.content) for at, message in enumerate(messages)]
    return Start(session, _chained(entries, None))


async def resumed(
    context: RuntimeExecutionContext, entries: Sequence[Entry], begun: Mapping[str, Block], own: OwnTools | None
) -> Start:
    """Where the turn goes on, be it at its beginning.

    The last answer whose calls all have results is the last that is kept. Calls that the journal has a result of,
    and the transcript not yet, get it; where nothing is known of any call of the last answer, the model gateway
    gives that answer once more.
    """
    recorded, claimed = await _settle(_open(begun, entries), own)
    at = _last_answer(entries)
    if at is None:
        return replace(fresh(context), claimed=claimed, recorded=recorded)
    last = _Answer(entries[at:], begun)
    known = {call: recorded[call] for call in last.dangling if call in recorded}
    if not last.results and not known:
        kept, pending = _until_result(entries[:at]), list[Block]()
    else:
        kept = [*entries[:at], *last.finished(known)]
        pending = [last.calls[call] for call in last.dangling if call not in known]
    return replace(_start(context, kept, pending), claimed=claimed, recorded=recorded)


class _Answer:
    """The last answer of a transcript, and what came of its calls; a call is begun before all of them are written."""

    def __init__(self, entries: Sequence[Entry], begun: Mapping[str, Block]) -> None:
        self._said = [entry for entry in entries if entry["type"] == "assistant"]
        self.results = [entry for entry in entries if _has_result(entry)]
        self._written = {block["id"]: block for entry in self._said for block in _blocks(entry, "tool_use")}
        self.calls = _told(self._said[0]["message"]["id"], begun) | self._written
        self._answered = {call for entry in self.results for call in results_of(entry)}
        self.dangling = [call for call in self.calls if call not in self._answered]

    def finished(self, recorded: Mapping[str, ToolResult]) -> list[Entry]:
        """It, without the calls that still have to run, and with all results that there are."""
        done = self._answered | recorded.keys()
        first = self._said[0]
        kept = [entry for entry in self._said if done.issuperset(_calls(entry))]
        unwritten = [_call(first, self.calls[call]) for call in recorded if call not in self._written]
        said = sorted((*kept, *unwritten), key=self._place)
        whole = [{**entry, "message": {**entry["message"], "id": first["message"]["id"]}} for entry in said]
        ours = [_result(first, call, result) for call, result in recorded.items()]
        return _chained([*whole, *self.results, *ours], first["parentUuid"])

    def _place(self, entry: Entry) -> int:
        return max((list(self.calls).index(call) for call in _calls(entry)), default=-1)


def _told(message: str, begun: Mapping[str, Block]) -> dict[str, Block]:
    """The calls of an answer, as they were noted when the first one was begun."""
    answers = [call["answer"] for call in begun.values() if call["answer"]]
    return {block["id"]: block for answer in answers if answer["message"] == message for block in answer["calls"]}


def _start(context: RuntimeExecutionContext, kept: list[Entry], pending: list[Block]) -> Start:
    first = fresh(context)
    if not any(map(_has_result, kept)):
        return first
    ours = [entry for entry in kept[len(first.entries) :] if entry["type"] == "assistant"]
    said: dict[str, str] = {}
    for entry in ours:
        message = entry["message"]["id"]
        said[message] = said.get(message, "") + "".join(block["text"] for block in _blocks(entry, "text"))
    texts = [text for text in said.values() if text]
    rounds = sum(not message.startswith(REST) for message in said)
    return Start(first.session, kept, True, texts, rounds, pending, rest=_rest(ours, pending))


def _rest(said: Sequence[Entry], pending: Sequence[Block]) -> frozenset[str]:
    asked = [call for entry in said if entry["message"]["id"].startswith(REST) for call in _calls(entry)]
    return frozenset((*asked, *(block["id"] for block in pending)))


def _open(begun: Mapping[str, Block], entries: Sequence[Entry]) -> dict[str, Block]:
    """Calls that were begun and have no result in the transcript."""
    done = {call for entry in entries for call in results_of(entry)}
    return {call: note for call, note in begun.items() if call not in done}


async def _settle(calls: Mapping[str, Block], own: OwnTools | None) -> tuple[dict[str, ToolResult], frozenset[str]]:
    """What the journal knows of calls that were begun; the others are claimed by asking."""
    if own is None:
        return {}, frozenset()
    asked = [own.begin(call, begun["name"], begun["arguments"]) for call, begun in calls.items()]
    results = dict(zip(calls, await asyncio.gather(*asked), strict=True))
    recorded = {call: result for call, result in results.items() if result is not None}
    return recorded, frozenset(results.keys() - recorded.keys())


def _call(beside: Entry, block: Block) -> Entry:
    message = {**beside["message"], "content": [block]}
    return {**beside, "uuid": str(uuid5(_NAMES, f"call {block['id']}")), "message": message}


def _result(beside: Entry, call: str, result: ToolResult) -> Entry:
    block = {"type": "tool_result", "tool_use_id": call, "content": result.text, "is_error": result.is_error}
    shared = {name: beside[name] for name in _SHARED if name in beside}
    message = {"role": "user", "content": [block]}
    return {**shared, "type": "user", "uuid": str(uuid5(_NAMES, f"result {call}")), "message": message}


def _said(session: str, at: int, role: str, text: str) -> Entry:
    content: Any = text if role == "user" else [{"type": "text", "text": text}]
    answer: dict[str, Any] = {"id": f"msg_{at}", "type": "message", "model": ""} if role == "assistant" else {}
    return {
        "type": role,
        "uuid": str(uuid5(_NAMES, f"{session} {at}")),
        "sessionId": session,
        "timestamp": _WHEN,
        "cwd": WORKSPACE,
        "version": "",
        "isSidechain": False,
        "userType": "external",
        "message": {**answer, "role": role, "content": content},
    }


def _chained(entries: Sequence[Entry], first: str | None) -> list[Entry]:
    """Each follows the one before it."""
    before = [first, *(entry["uuid"] for entry in entries)]
    return [{**entry, "parentUuid": parent} for entry, parent in zip(entries, before, strict=False)]


def _last_answer(entries: Sequence[Entry]) -> int | None:
    """Where the last answer of a model begins: the CLI writes an entry for each block of it."""
    answers = [(at, entry["message"]["id"]) for at, entry in enumerate(entries) if entry["type"] == "assistant"]
    models = [(at, message) for at, message in answers if not message.startswith(REST)]
    return next((at for at, message in models if message == models[-1][1]), None)


def _until_result(entries: Sequence[Entry]) -> list[Entry]:
    """Up to the last tool result; what follows it is what the CLI says by itself."""
    ends = [at for at, entry in enumerate(entries) if _has_result(entry)]
    return list(entries[: ends[-1] + 1]) if ends else []


def _calls(entry: Entry) -> list[str]:
    return [block["id"] for block in _blocks(entry, "tool_use")]


def _has_result(entry: Entry) -> bool:
    return next(_blocks(entry, "tool_result"), None) is not None


def _blocks(entry: Entry, kind: str) -> Iterator[Block]:
    content: Any = entry.get("message", {}).get("content")
    if isinstance(content, list) and entry["type"] in ("assistant", "user"):
        yield from (block for block in cast("list[Block]", content) if block.get("type") == kind)
