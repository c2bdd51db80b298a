"""The scripted runtime: answers from directions in the prompt; no framework, no model, no network.

A prompt may hold `[[direction;; direction]]`, in JSON arguments too. The directions:

=================== =====================================================================
say TEXT            the text
emit N [@RATE]      `tok1 tok2 ...`, N tokens, RATE of them per second or all at once
wait SECONDS        a pause
tool NAME {json}    a tool call; what follows it is a new message
result              the last tool result
history             the conversation, a line per message `role: text`
fail CODE           a typed failure, such as `model_rate_limited`
crash               an exception that nobody expected
hang                nothing more, ever
spin SECONDS        burns the CPU, but lets others run
=================== =====================================================================

Without directions the answer is `You said: ` and the prompt.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import runtimes.errors
from runtimes.base import BaseRuntime
from runtimes.errors import ConfigurationInvalid, RuntimeFailure
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.manifests.scripted import SCRIPTED
from runtimes.tool_arguments import decoded
from runtimes.types import (
    RuntimeEvent,
    RuntimeExecutionContext,
    TextDelta,
    Tool,
    ToolCallCompleted,
    ToolCallStarted,
    TurnFinished,
)

_BLOCK = re.compile(r"\[\[(.*?)\]\](?!\])", re.DOTALL)
_EMIT = re.compile(r"(\d{1,7})(?:\s*@\s*(\d+(?:\.\d+)?))?")
_DISTURBANCES = frozenset({"wait", "spin", "fail", "crash", "hang"})
_FAILURES: Mapping[str, type[RuntimeFailure]] = {
    each.code: each
    for each in vars(runtimes.errors).values()
    if isinstance(each, type) and issubclass(each, RuntimeFailure)
}


@dataclass(slots=True)
class _Turn:
    context: RuntimeExecutionContext
    message: list[str] = field(default_factory=list[str])
    result: str = ""
    calls: int = 0

    def said(self, text: str) -> TextDelta:
        self.message.append(text)
        return TextDelta(text)

    def begin_message(self) -> str:
        """What follows is a new message, after a tool call with the id that is given."""
        self.message.clear()
        self.calls += 1
        return f"call_{self.context.turn}_{self.calls}"


class ScriptedRuntime(BaseRuntime):
    """The cheapest runtime there is: a plain prompt is answered without a single await."""

    manifest: ClassVar[RuntimeManifest] = SCRIPTED

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn; see `BaseRuntime.stream`."""
        turn = _Turn(context)
        if "[[" not in context.prompt:
            yield turn.said(f"You said: {context.prompt}")
        else:
            for direction in _directions(context.prompt):
                name, _, argument = direction.partition(" ")
                if name in _DISTURBANCES:
                    await _disturb(name, argument)
                    continue
                async for event in _speak(turn, name, argument):
                    yield event
        yield TurnFinished("".join(turn.message))


def _directions(prompt: str) -> Iterator[str]:
    for block in _BLOCK.findall(prompt):
        yield from (part.strip() for part in block.split(";;") if part.strip())


def _speak(turn: _Turn, name: str, argument: str) -> AsyncIterator[RuntimeEvent]:
    match name:
        case "say" | "result" | "history":
            return _say(turn, _text(turn, name, argument))
        case "emit":
            return _emit(turn, argument)
        case "tool":
            return _tool(turn, argument)
        case _:
            raise _misunderstood(f"{name} {argument}")


def _text(turn: _Turn, name: str, argument: str) -> str:
    if name == "say":
        return argument
    if name == "result":
        return turn.result
    return "\n".join(f"{message.role}: {message.content}" for message in turn.context.history)


async def _say(turn: _Turn, text: str) -> AsyncGenerator[RuntimeEvent, None]:
    yield turn.said(text)


async def _emit(turn: _Turn, argument: str) -> AsyncGenerator[RuntimeEvent, None]:
    match = _EMIT.fullmatch(argument.strip())
    if match is None:
        raise _misunderstood(f"emit {argument}")
    began = asyncio.get_running_loop().time()
    rate = float(match[2] or 0)
    for number in range(1, int(match[1]) + 1):
        if rate:
            await asyncio.sleep(max(began + (number - 1) / rate - asyncio.get_running_loop().time(), 0))
        yield turn.said(f" tok{number}" if number > 1 else "tok1")


async def _tool(turn: _Turn, argument: str) -> AsyncGenerator[RuntimeEvent, None]:
    name, _, arguments = argument.partition(" ")
    call_id = turn.begin_message()
    tool = next((tool for tool in turn.context.tools if tool.name == name), None)
    if tool is None:
        turn.result = f"There is no tool '{name}'."
        yield ToolCallStarted(call_id, name, arguments)
        yield ToolCallCompleted(call_id, name, turn.result, is_error=True)
    else:
        turn.result = await _called(tool, call_id, arguments)


async def _called(tool: Tool, call_id: str, arguments: str) -> str:
    return (await tool.call(call_id, decoded(arguments))).text


async def _disturb(name: str, argument: str) -> None:
    match name:
        case "wait":
            await asyncio.sleep(_seconds(argument))
        case "spin":
            await _spin(_seconds(argument))
        case "fail":
            raise _FAILURES.get(argument, RuntimeFailure)(f"The script asked for the failure '{argument}'.")
        case "crash":
            raise RuntimeError("The script asked for a crash.")
        case _:
            await asyncio.Event().wait()


async def _spin(seconds: float) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
        await asyncio.sleep(0)


def _seconds(argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise _misunderstood(argument) from None


def _misunderstood(direction: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(f"The scripted runtime does not understand '{direction[:80]}'.")
