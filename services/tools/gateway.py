"""The one door through which all tool calls go."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtimes.depth import LEVELS
from runtimes.discreet import discreet
from runtimes.errors import RuntimeFailure, ToolsetInvalid
from runtimes.tool_arguments import decoded
from runtimes.types import Tool, ToolResult
from services.asked_calls import AskedCall
from services.bounded.checker import Checker
from services.bounded.process import BoundedProcesses, WorkUnbounded
from services.control_plane_client.models import Step
from services.storable import storable
from services.tools.desk import TurnDesk, Wanted
from services.tools.spec import Call, Handler, ToolFailed, ToolSpec

#: Mistakes in a call's arguments that are told to the model, and the characters of each.
_MISTAKES = 5
_MISTAKE_LIMIT = 300


#: Keeps what a call changed in the workspace; gives the blob that lists its files, None where nothing changed.
KeepWorkspace = Callable[[], Awaitable[str | None]]


async def _no_workspace() -> str | None:
    return None


class ToolGateway:
    """The tools of one attempt: checks, claims, runs, bounds and commits each call.

    Raises:
        ToolsetInvalid: a tool's JSON schema cannot be used.
    """

    def __init__(
        self,
        specs: Sequence[ToolSpec],
        desk: TurnDesk,
        keep_workspace: KeepWorkspace = _no_workspace,
        processes: BoundedProcesses | None = None,
    ) -> None:
        checking = processes or BoundedProcesses()
        self._doors = [_Door(spec, _checker(spec, checking)) for spec in specs]
        self._desk = desk
        self._keep_workspace = keep_workspace
        desk.asked.ours.update(spec.name for spec in specs)

    def tools(self) -> list[Tool]:
        """The tools as runtimes take them."""
        return [self._tool(door) for door in self._doors]

    def _tool(self, door: "_Door") -> Tool:
        async def call(
            tool_call_id: str | None, arguments: Mapping[str, Any] | str, *, from_model: bool = True
        ) -> ToolResult:
            asked = self._desk.asked.take(tool_call_id, door.spec.name, arguments) if from_model else None
            if asked is None:
                own = tool_call_id or self._desk.asked.own_id(door.spec.name, arguments)
                return await self._call(door, own, arguments)
            asked.id = asked.id or tool_call_id or self._desk.asked.own_id(door.spec.name, arguments)
            return await self._as_asked(door, asked)

        return Tool(door.spec.name, door.spec.description, door.spec.parameters, call)

    async def _as_asked(self, door: "_Door", asked: AskedCall) -> ToolResult:
        """The call as the model wrote it, once, however often and with whatever arguments the framework makes it."""
        while asked.outcome is not None:
            await asyncio.wait({asked.outcome})
            if not asked.outcome.cancelled():
                return asked.outcome.result()
            asked.outcome = None
        asked.outcome = outcome = asyncio.get_running_loop().create_future()
        try:
            outcome.set_result(await self._call(door, asked.id, decoded(asked.arguments), asked.refusal))
        finally:
            outcome.cancel()
        return outcome.result()

    async def _call(
        self, door: "_Door", tool_call_id: str, arguments: Mapping[str, Any] | str, refusal: str = ""
    ) -> ToolResult:
        door = door if refusal else await self._present(door, tool_call_id)
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        wanted = door.wanted(tool_call_id, arguments, written)
        if mistakes := refusal or door.spec.gone or await door.mistakes(arguments, written):
            return await self._desk.record(wanted, ToolResult(door.cut(mistakes), is_error=True))
        step = await self._desk.begin(wanted)
        if isinstance(step, ToolResult):
            return step
        with self._desk.trace.tool(step, wanted.written) as returned:
            return returned(await self._run(door, wanted, step, arguments))

    async def _present(self, door: "_Door", tool_call_id: str) -> "_Door":
        """The door to a tool that was away; another look is taken once for each call that is to be run."""
        if door.spec.again is None or self._desk.journal.is_answered(tool_call_id):
            return door
        return replace(door, spec=await door.spec.again())

    async def _run(self, door: "_Door", wanted: Wanted, step: Step, arguments: Mapping[str, Any] | str) -> ToolResult:
        call = Call(wanted.tool_call_id, self._desk.idempotency_key(wanted.tool_call_id))
        before = _cancellations()
        try:
            whole = await door.run(arguments, call)
        except asyncio.CancelledError:
            if not door.spec.stops:
                await self._desk.cut_off(wanted, step)
            raise
        workspace = None
        if door.spec.writes:
            workspace, whole = await self._kept(whole)
        cut = replace(whole, text=door.cut(whole.text))
        kept = whole.text if cut.text != whole.text else ""
        result = await self._desk.commit(wanted, step, cut, whole=kept, workspace=workspace)
        if _cancellations() > before:
            raise asyncio.CancelledError
        return result

    async def _kept(self, whole: ToolResult) -> tuple[str | None, ToolResult]:
        """The workspace as the call left it; one that cannot be kept is the model's business."""
        try:
            return await self._keep_workspace(), whole
        except ToolFailed as error:
            return None, ToolResult(f"{whole.text}\n{error}", is_error=True)


@dataclass(frozen=True, slots=True)
class _Door:
    spec: ToolSpec
    checker: Checker

    def wanted(self, tool_call_id: str, arguments: Mapping[str, Any] | str, written: str) -> Wanted:
        return Wanted(
            tool_call_id=tool_call_id,
            name=self.spec.name,
            written=storable(written),
            effect=self.spec.effect,
            needs_approval=not isinstance(arguments, str) and self.spec.needs_approval(arguments),
            label=self.spec.label,
        )

    async def run(self, arguments: Mapping[str, Any] | str, call: Call) -> ToolResult:
        """The call's result, with its whole text.

        Raises:
            RuntimeFailure: the turn has to end.
            CancelledError: the caller was cancelled, and the tool has stopped for it.
        """
        assert not isinstance(arguments, str)
        before, deadline = _cancellations(), asyncio.timeout(self.spec.timeout_seconds)
        try:
            async with deadline:
                came = await asyncio.create_task(_settled(self.spec.handler, arguments, call))
        except TimeoutError as late:
            came = late
        if isinstance(came, str):
            return ToolResult(storable(came))
        if isinstance(came, RuntimeFailure) or (isinstance(came, asyncio.CancelledError) and _cancellations() > before):
            raise came
        if isinstance(came, ToolFailed):
            return ToolResult(storable(str(came)), is_error=True)
        text = self._late() if deadline.expired() else self._failed(came)
        return ToolResult(storable(text), is_error=True)

    async def mistakes(self, arguments: Mapping[str, Any] | str, written: str) -> str:
        """What is wrong with the arguments, for the model; empty if nothing is."""
        if isinstance(arguments, str):
            return f"The arguments of '{self.spec.name}' have to be a JSON object, nested at most {LEVELS} levels deep."
        found = _unwritable(written) or await self._found(arguments)
        return f"The arguments of '{self.spec.name}' are not valid. {found}" if found else ""

    def cut(self, text: str) -> str:
        """The text as far as the model may see it."""
        limit = self.spec.output_limit
        if len(text) <= limit:
            return text
        return f"{text[:limit]}\n[cut: {len(text) - limit} of {len(text)} characters are not shown]"

    def _failed(self, error: BaseException) -> str:
        told, _ = discreet(f"{type(error).__name__}: {error}")
        return f"'{self.spec.name}' failed: {told}"

    def _late(self) -> str:
        after = f"after {self.spec.timeout_seconds:g} s"
        if self.spec.stops:
            return f"'{self.spec.name}' was stopped {after}."
        return f"'{self.spec.name}' had not ended {after}. It cannot be stopped: it goes on, and its result is lost."

    async def _found(self, arguments: Mapping[str, Any]) -> str:
        try:
            found = await self.checker.mistakes(dict(arguments), _MISTAKES, _MISTAKE_LIMIT)
        except (ValueError, WorkUnbounded) as error:
            return str(error)[:_MISTAKE_LIMIT]
        return " ".join(f"At {where}: {why}." for where, why in found)


def _unwritable(written: str) -> str:
    """Say that the arguments have a text that no program can write; empty if they have none."""
    try:
        written.encode()
    except UnicodeEncodeError:
        return "A text contains half of a surrogate pair."
    return ""


async def _settled(handler: Handler, arguments: Mapping[str, Any], call: Call) -> str | BaseException:
    """The text of a call or whatever it raised, in a task of its own: an exit of a tool is none of the worker."""
    try:
        return await handler(arguments, call)
    except BaseException as error:  # noqa: BLE001  a tool is somebody else's code
        return error


def _cancellations() -> int:
    """How often the running task has been told to stop; a tool that raises a cancellation itself adds none."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _checker(spec: ToolSpec, processes: BoundedProcesses) -> Checker:
    try:
        return Checker(spec.parameters, processes)
    except ValueError as error:
        raise ToolsetInvalid(f"The JSON schema of tool '{spec.name}' cannot be used: {str(error)[:300]}") from error
