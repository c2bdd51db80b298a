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
    Manner,
    Nonsense,
    Text,
    Thoughts,
    ToolCalls,
    Usage,
)
from services.scripted_model.conversation import Conversation
from services.scripted_model.directives import Late, Line, Next, Step, ToolRounds, parse, words
from services.scripted_model.errors import ModelError, Problem
from services.scripted_model.thoughts import Kind
from services.scripted_model.wording import reworded, torn

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
    """One asking; it `rewords` where the script or the whole provider does."""

    conversation: Conversation
    tally: Tally
    manners: frozenset[Manner]
    asking: int

    def times_reached(self, direction: int) -> int:
        return self.tally.count(_digest(self.conversation, f"direction {direction}"))


class Director:
    """Only `error … times K` and `reword` need memory, the tally; all else follows from the request."""

    def __init__(self, tally: Tally, *, rewords: bool = False) -> None:
        self._tally = tally
        self._always = {Manner.REWORD} if rewords else set[Manner]()

    def asking(self, conversation: Conversation) -> int:
        """Count how often this round of this prompt was asked for, this time included."""
        return self._tally.count(_digest(conversation, "asking"))

    def answer(self, conversation: Conversation, asking: int = 1) -> Answer:
        """Find the answer to this request.

        Raises:
            ScriptError: its directions cannot be followed.
            ModelError: it lacks thoughts on whose return the script insists.
        """
        lines = parse(conversation.prompt)
        if not lines:
            return _answer(conversation, [Text(words(_greeting(conversation.prompt)))])
        manners = frozenset({line for line in lines if isinstance(line, Manner)} | self._always)
        steps = _of_part(lines, conversation.part)
        if Manner.INSIST in manners:
            _insist(steps, conversation)
        scene = _Scene(conversation, self._tally, manners, asking)
        return _answer(conversation, list(_resolved(_due(steps, conversation.round), scene)))


def _greeting(prompt: str) -> str:
    return GREETING.format(prompt=shorten(prompt[:400], 80, placeholder=" …") or "(it was empty)")


def _of_part(lines: Sequence[Line], part: int) -> list[tuple[int, Step]]:
    """The steps for one prompt of those that a script is for, with their places."""
    parts: list[list[tuple[int, Step]]] = [[]]
    for at, step in enumerate(lines):
        if isinstance(step, Next):
            parts.append([])
        elif not isinstance(step, Manner):
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


def _insist(steps: Sequence[tuple[int, Step]], conversation: Conversation) -> None:
    """Refuse a conversation in which a round has lost the thoughts that led to it."""
    for number, found in enumerate(conversation.thoughts):
        thoughts = (step for _, step in _due(steps, number) if isinstance(step, Thoughts))
        told: set[Kind] = {"sealed" if each.is_sealed else "open" for each in thoughts}
        if lost := told - found:
            theme = "thoughts" if "open" in lost else "seal"
            raise ModelError(Problem(400, "Thoughts are missing.", theme=theme))


def _resolved(due: Sequence[tuple[int, Step]], scene: _Scene) -> Iterator[Action | Finish | Usage]:
    """Stops at what ends an answer, so that a later failure is not counted as reached."""
    for at, step in due:
        match step:
            case Late():
                action = step.make(scene, at)
            case ToolRounds():
                action = _with_ids(step, scene)
            case _:
                action = step
        if action is not None:
            yield _in_its_manner(action, scene)
        if isinstance(action, Fail | Drop | Nonsense):
            return


def _in_its_manner(action: Action | Finish | Usage, scene: _Scene) -> Action | Finish | Usage:
    if isinstance(action, Finish | Usage):
        return action
    if Manner.REWORD in scene.manners:
        action = reworded(action, scene.asking)
    return torn(action) if Manner.TEAR in scene.manners else action


def _with_ids(step: ToolRounds, scene: _Scene) -> ToolCalls:
    names = (_full_name(call.name, scene.conversation.tools) for call in step.calls)
    calls = zip(step.calls, names, strict=True)
    return ToolCalls(tuple(replace(call, name=name, id=_id(index, scene)) for index, (call, name) in enumerate(calls)))


def _id(index: int, scene: _Scene) -> str | None:
    """The same whenever the same is run again, unless the script wants it otherwise."""
    if Manner.IDS_MISSING in scene.manners:
        return None
    if Manner.IDS_EMPTY in scene.manners:
        return ""
    if Manner.IDS_SAME in scene.manners:
        return "same"
    asking = f" asking {scene.asking}" if Manner.REWORD in scene.manners else ""
    return _digest(scene.conversation, f"call {index}{asking}")[:24]


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
    return Answer(actions, finish.reason, usage or _usage(conversation, actions))


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


def _usage(conversation: Conversation, actions: Sequence[Action]) -> Usage:
    """A token a piece of text, one a tool call, and one a word of thought."""
    texts = sum(len(action.pieces) for action in actions if isinstance(action, Text))
    calls = sum(len(action.calls) for action in actions if isinstance(action, ToolCalls))
    thoughts = sum(len(words(action.text)) for action in actions if isinstance(action, Thoughts))
    return Usage(conversation.input_tokens, texts + calls + thoughts, reasoning=thoughts)
