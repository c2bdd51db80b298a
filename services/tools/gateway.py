"""The one door through which all tool calls go."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jsonschema_rs

from runtimes.errors import RuntimeFailure, ToolsetInvalid
from runtimes.types import Tool, ToolCallCompleted, ToolCallStarted, ToolResult
from services.tools.spec import Call, ToolFailed, ToolSpec

#: Mistakes in a call's arguments that are told to the model, and the characters of each.
_MISTAKES = 5
_MISTAKE_LIMIT = 300


class ToolObserver(Protocol):
    """Hears of every call; what it raises ends the turn."""

    async def started(self, call: ToolCallStarted) -> None: ...
    async def completed(self, call: ToolCallCompleted) -> None: ...


class ToolGateway:
    """The tools of one attempt: checks, runs, bounds and reports each call.

    Raises:
        ToolsetInvalid: a tool's JSON schema cannot be used.
    """

    def __init__(self, specs: Sequence[ToolSpec], observer: ToolObserver) -> None:
        self._doors = [_Door(spec, _validator(spec)) for spec in specs]
        self._observer = observer
        self.calls = 0

    def tools(self) -> list[Tool]:
        """The tools as runtimes take them."""
        return [self._tool(door) for door in self._doors]

    def _tool(self, door: "_Door") -> Tool:
        async def call(tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
            return await self._call(door, tool_call_id, arguments)

        return Tool(door.spec.name, door.spec.description, door.spec.parameters, call)

    async def _call(self, door: "_Door", tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        """Claim, run, commit: the journal will claim where the start is told and commit where the end is."""
        self.calls += 1
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        await self._observer.started(ToolCallStarted(tool_call_id, door.spec.name, _storable(written)))
        result = await door.enter(tool_call_id, arguments)
        await self._observer.completed(ToolCallCompleted(tool_call_id, door.spec.name, result.text, result.is_error))
        return result


@dataclass(frozen=True, slots=True)
class _Door:
    spec: ToolSpec
    validator: jsonschema_rs.Validator

    async def enter(self, tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        if isinstance(arguments, str):
            return self._error(f"The arguments of '{self.spec.name}' have to be a JSON object.")
        if mistakes := self._mistakes(arguments):
            return self._error(f"The arguments of '{self.spec.name}' are not valid. {mistakes}")
        deadline = asyncio.timeout(self.spec.timeout_seconds)
        try:
            async with deadline:
                return ToolResult(self._cut(await self.spec.handler(arguments, Call(tool_call_id, tool_call_id))))
        except RuntimeFailure:
            raise
        except ToolFailed as error:
            return self._error(str(error))
        except Exception as error:  # noqa: BLE001  a tool is somebody else's code
            if deadline.expired():
                return self._error(f"'{self.spec.name}' was stopped after {self.spec.timeout_seconds:g} s.")
            return self._error(f"'{self.spec.name}' failed: {type(error).__name__}: {error}")

    def _mistakes(self, arguments: Mapping[str, Any]) -> str:
        try:
            errors = list(self.validator.iter_errors(dict(arguments)))
        except ValueError as error:
            return str(error)[:_MISTAKE_LIMIT]
        return " ".join(f"At {_pointer(error)}: {error.message[:_MISTAKE_LIMIT]}." for error in errors[:_MISTAKES])

    def _error(self, text: str) -> ToolResult:
        return ToolResult(self._cut(text), is_error=True)

    def _cut(self, text: str) -> str:
        limit, whole = self.spec.output_limit, _storable(text)
        if len(whole) <= limit:
            return whole
        return f"{whole[:limit]}\n[cut: {len(whole) - limit} of {len(whole)} characters are not shown]"


def _storable(text: str) -> str:
    """Without what no database takes: NUL and lone surrogates."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    return "/" + "/".join(str(step) for step in error.instance_path)


def _validator(spec: ToolSpec) -> jsonschema_rs.Validator:
    try:
        return jsonschema_rs.validator_for(
            dict(spec.parameters), retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValueError as error:
        raise ToolsetInvalid(f"The JSON schema of tool '{spec.name}' cannot be used: {str(error)[:300]}") from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"a tool's schema must not refer to '{uri[:200]}'")
