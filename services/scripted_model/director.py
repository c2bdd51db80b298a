"""Takes a request to the answer that its script asks for."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from textwrap import shorten

from services.scripted_model.actions import (
    Action,
    Answer,
    Drop,
    Fail,
    Finish,
    FinishReason,
    Nonsense,
    Text,
    ToolCalls,
    Usage,
)
from services.scripted_model.conversation import Conversation
from services.scripted_model.directives import Late, Line, Next, Step, ToolRounds, parse, words

GREETING = (
    "Hello! I am Holdfast's scripted model, no language model: I do what directions in double square brackets tell me,"
    " and there were none in your message: {prompt}"
)
#: What is said when a script has ended with its tools and the model is asked again.
SCRIPT_ENDED = "Done."


class Tally:
    """How often each key came; forgets the oldest keys beyond `most`."""

    def __init__(self, most: int = 10_000) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._most = most

    def count(self, key: str) -> int:
        self._counts[key] = self._counts.get(key, 0) + 1
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return self._counts[key]

    def clear(self) -> None:
        self._counts.clear()


@dataclass(frozen=True, slots=True)
class _Scene:
    conversation: Conversation
    tally: Tally

    def times_reached(self, direction: int) -> int:
        return self.tally.count(_digest(self.conversation, f"direction {direction}"))


class Director:
    """Only `error … times K` needs memory, the tally; all else follows from the request."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def answer(self, conversation: Conversation) -> Answer:
        """What to say to this request. Raises ScriptError for directions that cannot be followed."""
        lines = parse(conversation.prompt)
        if not lines:
            return _answer(conversation, [Text(words(_greeting(conversation.prompt)))])
        due = _due(_of_part(lines, conversation.part), conversation.round)
        return _answer(conversation, list(_resolved(due, _Scene(conversation, self._tally))))


def _greeting(prompt: str) -> str:
    return GREETING.format(prompt=shorten(prompt[:400], 80, placeholder=" …") or "(it was empty)")


def _of_part(lines: Sequence[Line], part: int) -> list[tuple[int, Step]]:
    """The steps for one prompt of those that a script is for, with their places."""
    parts: list[list[tuple[int, Step]]] = [[]]
    for at, step in enumerate(lines):
        if isinstance(step, Next):
            parts.append([])
        else:
            parts[-1].append((at, step))
    return parts[part] if part < len(parts) else []


def _due(steps: Sequence[tuple[int, Step]], answered_rounds: int) -> list[tuple[int, Step]]:
    """The steps up to the first tools that are not answered yet."""
    due: list[tuple[int, Step]] = []
    for at, step in steps:
        due.append((at, step))
        if isinstance(step, ToolRounds):
            if answered_rounds < step.rounds:
                return due
            answered_rounds -= step.rounds
            due = []
    return due or [(0, Text(words(SCRIPT_ENDED)))]


def _resolved(due: Sequence[tuple[int, Step]], scene: _Scene) -> Iterator[Action | Finish | Usage]:
    """Stops at what ends an answer, so that a later failure is not counted as reached."""
    for at, step in due:
        match step:
            case Late():
                action = step.make(scene, at)
            case ToolRounds():
                action = _with_ids(step, scene.conversation)
            case _:
                action = step
        if action is not None:
            yield action
        if isinstance(action, Fail | Drop | Nonsense):
            return


def _with_ids(step: ToolRounds, conversation: Conversation) -> ToolCalls:
    ids = (_digest(conversation, f"call {index}")[:24] for index in range(len(step.calls)))
    names = (_full_name(call.name, conversation.tools) for call in step.calls)
    return ToolCalls(
        tuple(replace(call, name=name, id=id_) for call, name, id_ in zip(step.calls, names, ids, strict=True))
    )


def _full_name(name: str, tools: Sequence[str]) -> str:
    """The tool's name as this caller knows it: some put `mcp__SERVER__` before the names that they were given."""
    prefixed = [tool for tool in tools if tool.endswith(f"__{name}")]
    return name if name in tools or len(prefixed) != 1 else prefixed[0]


def _digest(conversation: Conversation, purpose: str) -> str:
    """The same for every re-run of this round of this prompt, another one for anything else."""
    place = f"{purpose}\0{conversation.turn}\0{conversation.part}\0{conversation.round}\0{conversation.prompt}"
    return sha256(place.encode(errors="replace")).hexdigest()


def _answer(conversation: Conversation, parts: Sequence[Action | Finish | Usage]) -> Answer:
    actions = tuple(_apart(part for part in parts if not isinstance(part, Finish | Usage)))
    finish = next((part for part in parts if isinstance(part, Finish)), Finish(_reason(actions)))
    usage = next((part for part in parts if isinstance(part, Usage)), None)
    return Answer(actions, finish.reason, usage or Usage(conversation.input_tokens, _output_tokens(actions)))


def _apart(actions: Iterator[Action]) -> Iterator[Action]:
    """A blank between two texts."""
    spoken = False
    for action in actions:
        if isinstance(action, Text) and action.pieces:
            first, *others = action.pieces
            yield replace(action, pieces=(f" {first}", *others)) if spoken else action
            spoken = True
        else:
            yield action


def _reason(actions: Sequence[Action]) -> FinishReason:
    if any(isinstance(action, ToolCalls) for action in actions):
        return "tool_calls"
    return "refusal" if any(isinstance(action, Text) and action.is_refusal for action in actions) else "stop"


def _output_tokens(actions: Sequence[Action]) -> int:
    """A token a piece of text, and one a tool call."""
    texts = sum(len(action.pieces) for action in actions if isinstance(action, Text))
    return texts + sum(len(action.calls) for action in actions if isinstance(action, ToolCalls))
