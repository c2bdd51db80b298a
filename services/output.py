"""Structured output: asked for, checked, and repaired once, whatever the runtime."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from runtimes.depth import LEVELS, is_deep
from runtimes.errors import ConfigurationInvalid, OutputInvalid
from runtimes.types import FinishReason, Message, RuntimeExecutionContext, TurnFinished
from services.bounded.checker import Checker
from services.bounded.process import BoundedProcesses, WorkUnbounded

Run = Callable[[RuntimeExecutionContext], Awaitable[TurnFinished]]

_WANTED = "Answer with nothing but one JSON value that fits this JSON schema, without any text around it:\n{schema}"
_REPAIR = "Your answer does not fit the JSON schema: {problem}\nAnswer again, with nothing but the JSON value."
_FENCE = "```"
_MISTAKE_LIMIT = 500


async def answered(context: RuntimeExecutionContext, run: Run, processes: BoundedProcesses) -> TurnFinished:
    """Run the turn; where it has an output schema, until its output fits, with one repair.

    Raises:
        OutputInvalid: it did not fit the second time either.
        ConfigurationInvalid: the schema cannot be used.
    """
    if context.output_schema is None:
        return await run(context)
    checker = _checker(context.output_schema, processes)
    asked = replace(context, system_prompt=_with_schema(context.system_prompt, context.output_schema))
    finished = await run(asked)
    output, problem = await _read(finished, checker)
    if problem and finished.finish_reason is FinishReason.STOP:
        finished = await run(_repair(asked, finished, problem))
        output, problem = await _read(finished, checker)
    if problem:
        raise OutputInvalid(f"The answer does not fit the output schema: {problem}")
    return replace(finished, output=output)


def _checker(schema: Mapping[str, Any], processes: BoundedProcesses) -> Checker:
    try:
        return Checker(schema, processes)
    except ValueError as error:
        raise ConfigurationInvalid(f"The output schema cannot be used: {str(error)[:_MISTAKE_LIMIT]}") from error


def _with_schema(system_prompt: str, schema: Mapping[str, Any]) -> str:
    wanted = _WANTED.format(schema=orjson.dumps(schema, option=orjson.OPT_SORT_KEYS).decode())
    return f"{system_prompt}\n\n{wanted}".strip()


def _repair(context: RuntimeExecutionContext, finished: TurnFinished, problem: str) -> RuntimeExecutionContext:
    said = Message(role="assistant", content=finished.response or "(nothing)")
    history = [*context.history, Message(role="user", content=context.prompt), said]
    return replace(context, history=history, prompt=_REPAIR.format(problem=problem))


async def _read(finished: TurnFinished, checker: Checker) -> tuple[Any, str]:
    """The output, and what is wrong with it."""
    output = finished.output
    if output is None:
        try:
            output = orjson.loads(_bare(finished.response))
        except orjson.JSONDecodeError as error:
            return None, f"it is no JSON: {error}"
    if is_deep(output):
        return None, f"it is nested more than {LEVELS} levels deep"
    return output, await _mistake(output, checker)


async def _mistake(output: Any, checker: Checker) -> str:
    try:
        mistakes = await checker.mistakes(output, 1, _MISTAKE_LIMIT)
    except (ValueError, WorkUnbounded) as error:
        return str(error)
    return mistakes[0][1] if mistakes else ""


def _bare(text: str) -> str:
    """Without the fence that models like to put around JSON."""
    text = text.strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE):
        return text.removeprefix(_FENCE).removeprefix("json").removesuffix(_FENCE)
    return text
