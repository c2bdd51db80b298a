"""One request as both wires understand it, and where in its script it stands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from services.scripted_model.thoughts import Kind

#: What real tokenizers come to, roughly, in English text.
BYTES_PER_TOKEN = 4
#: The direction `next`, between other directions.
_GOES_ON = re.compile(r"(?:\[\[|;;)\s*next\s*(?:;;|\]\])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """Role `tool` is one tool's result on both wires; `calls` are an assistant's tool calls, `NAME {json}`.

    `thoughts` are the kinds of those that came back whole, as the provider gave them.
    """

    role: str
    text: str
    calls: tuple[str, ...] = ()
    thoughts: frozenset[Kind] = frozenset()

    def line(self) -> str:
        """`role: text` on one line, newlines written as `\\n`."""
        said = " ".join(part for part in (self.text, *(f"-> {call}" for call in self.calls)) if part)
        return f"{self.role}: {said}".replace("\n", "\\n")


@dataclass(frozen=True)
class Conversation:
    """`model`, `messages` and `tools` (names) of one request; `message_count` is what the wire carried."""

    model: str
    messages: Sequence[Message]
    message_count: int
    tools: tuple[str, ...] = ()
    stream: bool = False
    stream_usage: bool = False

    @cached_property
    def prompt(self) -> str:
        """The user's message whose directions are followed, empty when there is none."""
        return self.messages[self._script_at].text if self._script_at >= 0 else ""

    @cached_property
    def part(self) -> int:
        """How many prompts without directions came after one that has something to say to them, too."""
        return len([at for at in self._prompts_at if at > self._script_at])

    @cached_property
    def turn(self) -> int:
        """How many user messages came before the prompt."""
        return sum(message.role == "user" for message in self.messages[: max(self._script_at, 0)])

    @cached_property
    def round(self) -> int:
        """How many times the model has called tools for this prompt."""
        return sum(bool(message.calls) for message in self.messages[self._prompt_at + 1 :])

    @cached_property
    def thoughts(self) -> list[frozenset[Kind]]:
        """The thoughts that came back with each of those rounds."""
        return [message.thoughts for message in self.messages[self._prompt_at + 1 :] if message.calls]

    @cached_property
    def input_tokens(self) -> int:
        size = sum(len(message.text.encode(errors="replace")) for message in self.messages)
        return max(1, size // BYTES_PER_TOKEN)

    def last_results(self) -> list[str]:
        """The tool results that came after the last tool calls."""
        results: list[str] = []
        for message in reversed(self.messages):
            if message.calls:
                break
            if message.role == "tool":
                results.append(message.text)
        return results[::-1]

    @cached_property
    def _prompts_at(self) -> list[int]:
        """Frameworks add user messages after tool results ("now go on"): without directions those are no prompts."""
        return [
            at
            for at, message in enumerate(self.messages)
            if message.role == "user" and ("[[" in message.text or at == 0 or self.messages[at - 1].role != "tool")
        ]

    @cached_property
    def _prompt_at(self) -> int:
        return self._prompts_at[-1] if self._prompts_at else -1

    @cached_property
    def _script_at(self) -> int:
        """The prompt itself, unless an earlier script goes on for prompts without directions."""
        directed = (at for at in reversed(self._prompts_at) if "[[" in self.messages[at].text)
        last = next(directed, -1)
        return last if last >= 0 and _GOES_ON.search(self.messages[last].text) else self._prompt_at
