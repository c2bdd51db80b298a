"""From an agent's toolsets to its tools."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from runtimes.errors import ConfigurationInvalid, ToolsetInvalid
from runtimes.meant import guess
from runtimes.types import Effect
from services.bounded.process import BoundedProcesses
from services.egress import Egress
from services.sandbox.sandbox import Sandbox
from services.tools.absent import Absent, Reconnect
from services.tools.configuration import (
    TOOLSETS,
    FileSystemToolset,
    McpToolset,
    PythonCodeToolset,
    PythonToolset,
    SandboxedToolset,
    ShellToolset,
    TaskToolset,
    ToolOverride,
    ToolsetConfiguration,
    WebToolset,
)
from services.tools.file_system import file_system_tools
from services.tools.place import TurnPlace
from services.tools.python_functions import python_tools
from services.tools.sandboxed import python_code_tools, shell_tools
from services.tools.spec import ApprovalRule, ToolSpec
from services.tools.task import task_tools
from services.tools.web import web_tools

if TYPE_CHECKING:
    from services.tools.mcp_servers import McpServers


class Toolsets:
    """Makes tools; `allowed_modules` are the modules that `python` toolsets may use, with all below them.

    `network` is whether the worker allows commands onto its network, `most` what they may use up at the most.

    Tools that block run in threads of their own, of which there are `slots`: a slow one delays nothing else.
    """

    def __init__(
        self,
        allowed_modules: Sequence[str] = (),
        *,
        slots: int = 1,
        sandbox: Sandbox | None = None,
        egress: Egress | None = None,
        mcp_commands: Sequence[str] = (),
    ) -> None:
        self.allowed_modules = [name.removesuffix(".*").rstrip(".") for name in allowed_modules]
        self.network = sandbox is not None and sandbox.network
        self.most = sandbox.most if sandbox is not None else None
        self.processes = BoundedProcesses()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="tool")
        self._sandbox = sandbox or Sandbox()
        self._egress = egress or Egress()
        self._mcp_commands = mcp_commands

    @asynccontextmanager
    async def open(
        self, toolsets: Sequence[Mapping[str, Any]], place: TurnPlace, absent: list[Absent] | None = None
    ) -> AsyncGenerator[list[ToolSpec]]:
        """All tools of the toolsets, in their order; what they need to run is there until this ends.

        With a list `absent`, toolsets and servers that cannot be used are left out, and it is told why: a turn that
        has begun goes on without them.

        Raises:
            ToolsetInvalid: a toolset is unknown, malformed or not allowed, cannot work on this worker, or two tools
                have one name.
            McpServerFailed: a server cannot be reached.
        """
        async with AsyncExitStack() as stack:
            opened = [await self._open_or_tell(toolset, place, stack, absent) for toolset in toolsets]
            specs = [spec for specs in opened for spec in specs]
            yield specs if absent is not None else _once_each(specs)

    async def _open_or_tell(
        self, toolset: Mapping[str, Any], place: TurnPlace, stack: AsyncExitStack, absent: list[Absent] | None
    ) -> list[ToolSpec]:
        try:
            return await self._open(configuration_of(toolset), place, stack, absent)
        except ConfigurationInvalid as failure:
            if absent is None:
                raise
            absent.append(Absent(failure.message))
            return []

    async def _open(
        self, wanted: ToolsetConfiguration, place: TurnPlace, stack: AsyncExitStack, absent: list[Absent] | None
    ) -> list[ToolSpec]:
        if isinstance(wanted, McpToolset):
            return await self._open_servers(wanted, place, stack, absent)
        if isinstance(wanted, SandboxedToolset):
            await self._sandbox.check()
        return self._placed(wanted, place)

    async def _open_servers(
        self, wanted: McpToolset, place: TurnPlace, stack: AsyncExitStack, absent: list[Absent] | None
    ) -> list[ToolSpec]:
        away: list[Absent] | None = None if absent is None else []
        specs = await stack.enter_async_context(self._mcp_servers().open(wanted, place, away))
        if absent is None:
            _check_overrides(wanted, [spec.name for spec in specs])
        else:
            absent += [replace(each, reconnect=_adjusting(each.reconnect, wanted)) for each in away or ()]
        return [adjusted(spec, wanted) for spec in specs]

    def _mcp_servers(self) -> "McpServers":
        try:
            from services.tools.mcp_servers import McpServers  # noqa: PLC0415
        except ImportError as error:
            raise ToolsetInvalid(
                f"MCP tools need a package that is not there: {error}.", hint="Install the extra: holdfast[mcp]"
            ) from error
        return McpServers(self._sandbox, self._egress, self._mcp_commands)

    def build(self, toolsets: Sequence[Mapping[str, Any]], workspace: Path) -> list[ToolSpec]:
        """All tools of the toolsets, in their order.

        Raises:
            ToolsetInvalid: a toolset is unknown, malformed or not allowed, or two tools have one name.
        """
        wanted = [configuration_of(toolset) for toolset in toolsets]
        return _once_each([spec for each in wanted for spec in self._tools_of(each, workspace)])

    def _placed(self, wanted: ToolsetConfiguration, place: TurnPlace) -> list[ToolSpec]:
        if isinstance(wanted, TaskToolset):
            return [adjusted(spec, wanted) for spec in task_tools(wanted, place)]
        return self._tools_of(wanted, place.workspace)

    def _tools_of(self, wanted: ToolsetConfiguration, workspace: Path) -> list[ToolSpec]:
        return [adjusted(spec, wanted) for spec in self._local(wanted, workspace)]

    def _local(self, wanted: ToolsetConfiguration, workspace: Path) -> list[ToolSpec]:
        match wanted:
            case PythonToolset():
                return python_tools(wanted, self.allowed_modules, self._threads)
            case FileSystemToolset():
                return file_system_tools(wanted, workspace, self._threads, self.processes)
            case ShellToolset():
                return shell_tools(wanted, workspace, self._sandbox)
            case PythonCodeToolset():
                return python_code_tools(wanted, workspace, self._sandbox)
            case WebToolset():
                return web_tools(wanted, self._egress, self.processes)
            case _:
                raise ToolsetInvalid(f"{type(wanted).__name__} is not opened here.")


def configuration_of(toolset: Mapping[str, Any]) -> ToolsetConfiguration:
    """What an agent's definition says of one toolset.

    Raises:
        ToolsetInvalid: it is of no known type, or malformed.
    """
    kind = str(toolset.get("type", ""))
    if kind not in TOOLSETS:
        raise ToolsetInvalid(f"There is no toolset type '{kind[:80]}'.", hint=guess(kind, TOOLSETS))
    try:
        return TOOLSETS[kind].model_validate(toolset)
    except ValidationError as error:
        raise _malformed(kind, error) from error


def adjusted(spec: ToolSpec, wanted: ToolsetConfiguration) -> ToolSpec:
    """A tool with what its toolset says of approval, effect and output, and with its name in metrics."""
    override = wanted.tools.get(spec.name) or ToolOverride()
    effect = Effect(override.effect) if override.effect else spec.effect
    return replace(
        spec,
        approval=ApprovalRule(override.approval or wanted.approval),
        effect=effect,
        output_limit=override.output_limit or spec.output_limit,
        label=wanted.type if isinstance(wanted, McpToolset | PythonToolset) else spec.name,
    )


def _adjusting(reconnect: Reconnect | None, wanted: McpToolset) -> Reconnect | None:
    """The same, whose tools are adjusted as those are that were there at once."""

    async def adjusting(found: Reconnect) -> list[ToolSpec]:
        return [adjusted(spec, wanted) for spec in await found()]

    return None if reconnect is None else partial(adjusting, reconnect)


def _check_overrides(wanted: ToolsetConfiguration, names: Sequence[str]) -> None:
    unknown = next((name for name in wanted.tools if name not in names), None)
    if unknown is not None:
        raise ToolsetInvalid(f"The toolset has no tool '{unknown[:100]}'.", hint=guess(unknown, names))


def _once_each(specs: list[ToolSpec]) -> list[ToolSpec]:
    names = [spec.name for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ToolsetInvalid(f"Two tools are called '{twice}'.", hint="Give one of the functions another name.")
    return specs


def _malformed(kind: str, error: ValidationError) -> ToolsetInvalid:
    first = error.errors()[0]
    context: Mapping[str, Any] = first.get("ctx", {})
    path = [*first["loc"], *([context["name"]] if "name" in context else [])]
    where = "/".join(str(step) for step in path)
    hint = context.get("hint") or f"Its fields are: {', '.join(TOOLSETS[kind].model_fields)}."
    return ToolsetInvalid(f"Toolset '{kind}' is malformed at '{where}': {first['msg'].rstrip('.')}.", hint=hint)
