"""The directions that a prompt gives to the scripted model.

They stand in double square brackets, apart by `;;`: `Hello [[say Let me look.;; tool lookup {"q": 1};; say Found.]]`

=============================================================== ==============================================
say TEXT                                                        the text, word by word
json TEXT                                                       the text in one piece
emit N [@RATE]                                                  `tok1 tok2 ...`, N tokens at RATE per second
echo                                                            the prompt without its directions
history                                                         the conversation, a line per message `role: text`
result                                                          the last tool results
raw "TEXT"                                                      the text, with JSON's escapes, in one piece
think TEXT                                                      thoughts, as the wire tells them
seal TEXT                                                       thoughts that only the model can read
refuse TEXT                                                     a refusal
empty                                                           a valid answer without content
tool NAME {json} [&& NAME {json}]                               tool calls; the script goes on when they are answered
repeat-tool N NAME {json}                                       the same tool call in N rounds
next                                                            the rest is for the next prompt without directions
wait SECONDS                                                    a pause
hang                                                            no further byte, ever
drop                                                            the connection closed in the middle
error STATUS [retry-after SECONDS] [times K] [code TEXT]        an error answer, for the first K calls or for ever
context-too-long                                                the error of an overflown context window
stream-error                                                    an error inside a stream that began well
html                                                            a web page with status 200
garbage                                                         broken JSON
finish REASON                                                   why the model stopped: stop, length, content_filter
usage IN OUT [cached N] [reasoning N]                           the usage to report
reword                                                          other words and ids at each asking of the same
insist                                                          no answer where earlier thoughts are missing
tear                                                            characters beyond U+FFFF streamed in two halves
ids KIND                                                        ids of the tool calls: missing, empty, same
=============================================================== ==============================================
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Protocol

from runtimes.meant import meant
from services.scripted_model.actions import (
    FINISH_REASONS,
    Action,
    Drop,
    Fail,
    Finish,
    Manner,
    Nonsense,
    Pause,
    Text,
    Thoughts,
    ToolCall,
    Usage,
)
from services.scripted_model.conversation import Conversation
from services.scripted_model.errors import Problem, ScriptError

#: More would fill the memory before the first token is sent.
MAX_TOKENS = 1_000_000
#: Each costs a look at the rest of the prompt; braces after these are plain text.
MAX_BROKEN_OBJECTS = 20
_NUMBER = r"\d+(?:\.\d+)?"
_ERROR_OPTION = rf"(?: retry-after {_NUMBER}| times \d+| code \S+)"
_DECODER = JSONDecoder()


class Scene(Protocol):
    """What a direction may know about the call it answers."""

    @property
    def conversation(self) -> Conversation: ...

    def times_reached(self, direction: int) -> int:
        """How often calls with this prompt and round have come to the direction, this one included."""
        ...


@dataclass(frozen=True, slots=True)
class ToolRounds:
    """Ends an answer; the script goes on after so many rounds."""

    calls: tuple[ToolCall, ...]
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class Late:
    """Becomes an action, or nothing, only when a call comes to it; `at` is its place in the script."""

    make: Callable[[Scene, int], Action | None]


@dataclass(frozen=True, slots=True)
class Next:
    """Ends what the script says to one prompt."""


Step = Action | ToolRounds | Late | Finish | Usage
Line = Step | Next | Manner


@dataclass(frozen=True, slots=True)
class Directive:
    syntax: str
    read: Callable[[str], Line]

    @property
    def name(self) -> str:
        return self.syntax.partition(" ")[0]


class _BadArgumentError(Exception):
    pass


def parse(prompt: str) -> list[Line]:
    """Read the directions of a prompt; none is an empty list. Raises ScriptError, which names the remedy."""
    parts = (part.strip() for start, end in _blocks(prompt) for part in _split(prompt[start + 2 : end], ";;"))
    return [_line(part) for part in parts if part]


def beside(prompt: str) -> str:
    """The prompt without its directions."""
    kept: list[str] = []
    position = 0
    for start, end in _blocks(prompt):
        kept.append(prompt[position:start])
        position = end + 2
    return "".join([*kept, prompt[position:]]).strip()


def words(text: str) -> tuple[str, ...]:
    """Pieces that end where words end and join to the same text."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def _line(part: str) -> Line:
    name, *rest = part.split(maxsplit=1)
    directive = DIRECTIVES.get(name.lower())
    if directive is None:
        raise _unknown(name)
    try:
        return directive.read(rest[0] if rest else "")
    except _BadArgumentError:
        raise ScriptError(f"The direction {part[:200]!r} is not understood. Write: {directive.syntax}") from None


def _unknown(name: str) -> ScriptError:
    known = f"{meant(name.lower(), DIRECTIVES)} Known: {', '.join(DIRECTIVES)}.".strip()
    return ScriptError(f"Unknown direction {name[:80]!r}. {known}")


def _blocks(prompt: str) -> Iterator[tuple[int, int]]:
    """Where each `[[` and its `]]` stand."""
    position = 0
    while (start := prompt.find("[[", position)) >= 0:
        end = next(_marks(prompt, "]]", start + 2), -1)
        if end < 0:
            return
        yield start, end
        position = end + 2


def _split(text: str, mark: str) -> Iterator[str]:
    position = 0
    for found in _marks(text, mark):
        yield text[position:found]
        position = found + len(mark)
    yield text[position:]


def _marks(text: str, mark: str, position: int = 0) -> Iterator[int]:
    """Where the mark stands, but not inside a JSON object."""
    token = re.compile(rf"\{{|{re.escape(mark)}")
    broken = 0
    while found := token.search(text, position):
        position = found.end()
        if found.group() == mark:
            yield found.start()
        elif broken < MAX_BROKEN_OBJECTS:
            end = _object_end(text, found.start())
            broken += end is None
            position = end or position


def _object_end(text: str, start: int) -> int | None:
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def _groups(pattern: str, argument: str) -> tuple[str | None, ...]:
    match = re.fullmatch(pattern, " ".join(argument.split()), re.ASCII)
    if match is None:
        raise _BadArgumentError
    return match.groups()


def _count(text: str | None, most: int = MAX_TOKENS) -> int:
    number = int((text or "0")[:20])
    if number > most:
        raise _BadArgumentError
    return number


def _needed(argument: str) -> str:
    if not argument:
        raise _BadArgumentError
    return argument


def _say(argument: str) -> Step:
    return Text(words(_needed(argument)))


def _json(argument: str) -> Step:
    return Text((_needed(argument),))


def _raw(argument: str) -> Step:
    try:
        text, end = _DECODER.raw_decode(argument)
    except JSONDecodeError:
        raise _BadArgumentError from None
    if not isinstance(text, str) or end != len(argument):
        raise _BadArgumentError
    return Text((text,))


def _think(argument: str) -> Step:
    return Thoughts(_needed(argument))


def _seal(argument: str) -> Step:
    return Thoughts(_needed(argument), is_sealed=True)


def _emit(argument: str) -> Step:
    number, rate = _groups(rf"(\d+)(?: @ ?({_NUMBER}))?", argument)
    if rate is not None and float(rate) == 0:
        raise _BadArgumentError
    pieces = tuple(f" tok{n}" if n > 1 else "tok1" for n in range(1, _count(number) + 1))
    return Text(pieces, float(rate or math.inf))


def _echo(argument: str) -> Step:
    _groups("", argument)
    return Late(lambda scene, _: Text(words(beside(scene.conversation.prompt))))


def _history(argument: str) -> Step:
    _groups("", argument)
    return Late(lambda scene, _: Text(words("\n".join(m.line() for m in scene.conversation.messages))))


def _result(argument: str) -> Step:
    _groups("", argument)
    return Late(lambda scene, _: Text(words("\n".join(scene.conversation.last_results()))))


def _refuse(argument: str) -> Step:
    return Text(words(_needed(argument)), is_refusal=True)


def _tool(argument: str) -> Step:
    return ToolRounds(tuple(_tool_call(part.strip()) for part in _split(argument, "&&")))


def _repeat_tool(argument: str) -> Step:
    number, _, call = argument.partition(" ")
    (rounds,) = _groups(r"(\d+)", number)
    return ToolRounds((_tool_call(call.strip()),), _count(rounds))


def _tool_call(text: str) -> ToolCall:
    match = re.fullmatch(r"([^\s{]+)\s*(.*)", text, re.DOTALL)
    if match is None:
        raise _BadArgumentError
    return ToolCall(match[1], match[2] or "{}")


def _wait(argument: str) -> Step:
    (seconds,) = _groups(f"({_NUMBER})", argument)
    return Pause(float(seconds or 0))


def _error(argument: str) -> Step:
    status, rest = _groups(rf"([45]\d\d)({_ERROR_OPTION}*)", argument)
    options: dict[str, str] = dict(re.findall(r" (\S+) (\S+)", rest or ""))
    problem = Problem(
        int(status or 0),
        f"The script asked for an error {status}.",
        code=options.get("code"),
        retry_after=options.get("retry-after"),
    )
    if "times" not in options:
        return Fail(problem)
    times = _count(options["times"])
    return Late(lambda scene, at: Fail(problem) if scene.times_reached(at) <= times else None)


def _finish(argument: str) -> Step:
    for reason in FINISH_REASONS:
        if reason == argument:
            return Finish(reason)
    raise _BadArgumentError


def _ids(argument: str) -> Line:
    try:
        return Manner(f"ids {argument}")
    except ValueError:
        raise _BadArgumentError from None


def _usage(argument: str) -> Step:
    groups = _groups(r"(\d+) (\d+)(?: cached (\d+))?(?: reasoning (\d+))?", argument)
    usage = Usage(*(_count(group, most=10**12) for group in groups))
    if usage.cached > usage.input or usage.reasoning > usage.output:
        raise _BadArgumentError
    return usage


def _always(line: Line) -> Callable[[str], Line]:
    def read(argument: str) -> Line:
        _groups("", argument)
        return line

    return read


_TOO_LONG = Problem(400, "The context is too long.", code="context_length_exceeded", theme="too long")
_BROKEN_STREAM = Problem(500, "The script asked for an error inside the stream.")

#: The directive's name to how it is written and read.
DIRECTIVES: Mapping[str, Directive] = {
    directive.name: directive
    for directive in (
        Directive("say TEXT", _say),
        Directive("json TEXT", _json),
        Directive("emit N [@RATE]", _emit),
        Directive("echo", _echo),
        Directive("history", _history),
        Directive("result", _result),
        Directive('raw "TEXT"', _raw),
        Directive("think TEXT", _think),
        Directive("seal TEXT", _seal),
        Directive("refuse TEXT", _refuse),
        Directive("empty", _always(Text(()))),
        Directive("tool NAME {json} [&& NAME {json}]", _tool),
        Directive("repeat-tool N NAME {json}", _repeat_tool),
        Directive("next", _always(Next())),
        Directive("wait SECONDS", _wait),
        Directive("hang", _always(Pause(None))),
        Directive("drop", _always(Drop())),
        Directive("error STATUS [retry-after SECONDS] [times K] [code TEXT]", _error),
        Directive("context-too-long", _always(Fail(_TOO_LONG))),
        Directive("stream-error", _always(Fail(_BROKEN_STREAM, in_stream=True))),
        Directive("html", _always(Nonsense("html"))),
        Directive("garbage", _always(Nonsense("garbage"))),
        Directive("finish REASON", _finish),
        Directive("usage IN OUT [cached N] [reasoning N]", _usage),
        *(Directive(manner.value, _always(manner)) for manner in (Manner.REWORD, Manner.INSIST, Manner.TEAR)),
        Directive("ids KIND", _ids),
    )
}
