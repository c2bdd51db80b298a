"""The CLI's transcript of a turn: kept entry by entry, and cut to where the turn can go on."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID, uuid5

from runtimes.claude_code_sandbox import WORKSPACE
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
    `pending` are calls of its last answer that still have to run; `claimed` are calls that this attempt has claimed.
    """

    session: str
    entries: list[Entry]
    resumed: bool = False
    texts: list[str] = field(default_factory=list[str])
    rounds: int = 0
    pending: list[Block] = field(default_factory=list[Block])
    claimed: frozenset[str] = frozenset()


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
    at = _last_answer(entries)
    if at is None:
        return fresh(context)
    last = _Answer(entries[at:])
    recorded, claimed = await _settle({call: begun[call] for call in last.dangling if call in begun}, own)
    if not last.results and not recorded:
        return _start(context, _until_result(entries[:at]), [], claimed)
    pending = [last.calls[call] for call in last.dangling if call not in recorded]
    return _start(context, [*entries[:at], *last.finished(recorded)], pending, claimed)


class _Answer:
    """The last answer of a transcript, and what came of its calls."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._said = [entry for entry in entries if entry["type"] == "assistant"]
        self.results = [entry for entry in entries if _has_result(entry)]
        self.calls = {block["id"]: block for entry in self._said for block in _blocks(entry, "tool_use")}
        self._answered = {block["tool_use_id"] for entry in self.results for block in _blocks(entry, "tool_result")}
        self.dangling = [call for call in self.calls if call not in self._answered]

    def finished(self, recorded: Mapping[str, ToolResult]) -> list[Entry]:
        """It, without the calls that still have to run, and with all results that there are."""
        done = self._answered | recorded.keys()
        kept = [entry for entry in self._said if done.issuperset(block["id"] for block in _blocks(entry, "tool_use"))]
        ours = [_result(self._said[0], call, result) for call, result in recorded.items()]
        return _chained([*kept, *self.results, *ours], self._said[0]["parentUuid"])


def _start(context: RuntimeExecutionContext, kept: list[Entry], pending: list[Block], claimed: frozenset[str]) -> Start:
    first = fresh(context)
    if not any(map(_has_result, kept)):
        return replace(first, claimed=claimed)
    said: dict[str, str] = {}
    for entry in kept[len(first.entries) :]:
        if entry["type"] == "assistant":
            message = entry["message"]["id"]
            said[message] = said.get(message, "") + "".join(block["text"] for block in _blocks(entry, "text"))
    texts = [text for text in said.values() if text]
    return Start(first.session, kept, True, texts, len(said), pending, claimed)


async def _settle(calls: Mapping[str, Block], own: OwnTools | None) -> tuple[dict[str, ToolResult], frozenset[str]]:
    """What the journal knows of calls that were begun; the others are claimed by asking."""
    if own is None:
        return {}, frozenset()
    asked = [own.begin(call, begun["name"], begun["arguments"]) for call, begun in calls.items()]
    results = dict(zip(calls, await asyncio.gather(*asked), strict=True))
    recorded = {call: result for call, result in results.items() if result is not None}
    return recorded, frozenset(results.keys() - recorded.keys())


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
    """Where the last answer begins: the CLI writes an entry for each block of it."""
    answers = [(at, entry["message"].get("id")) for at, entry in enumerate(entries) if entry["type"] == "assistant"]
    return next((at for at, message in answers if message == answers[-1][1]), None)


def _until_result(entries: Sequence[Entry]) -> list[Entry]:
    """Up to the last tool result; what follows it is what the CLI says by itself."""
    ends = [at for at, entry in enumerate(entries) if _has_result(entry)]
    return list(entries[: ends[-1] + 1]) if ends else []


def _has_result(entry: Entry) -> bool:
    return next(_blocks(entry, "tool_result"), None) is not None


def _blocks(entry: Entry, kind: str) -> Iterator[Block]:
    content: Any = entry.get("message", {}).get("content")
    if isinstance(content, list) and entry["type"] in ("assistant", "user"):
        yield from (block for block in cast("list[Block]", content) if block.get("type") == kind)
