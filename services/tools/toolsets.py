"""From an agent's toolsets to its tools."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtimes.errors import ToolsetInvalid
from runtimes.types import Tool
from services.tools.file_system import file_system_tools
from services.tools.gateway import ToolGateway, ToolObserver
from services.tools.python_functions import python_tools
from services.tools.spec import ToolSpec

Config = TypeVar("Config", bound=BaseModel)


class PythonToolset(BaseModel):
    """Functions of allowed modules, as `package.module:function`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["python"]
    functions: Annotated[list[str], Field(min_length=1, max_length=100)]
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 120.0


class FileSystemToolset(BaseModel):
    """Files in the execution's own workspace directory."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["file_system"]


class Toolsets:
    """Makes tools; `allowed_modules` are the modules that `python` toolsets may use, with all below them.

    Tools that block run in threads of their own, of which there are `slots`: a slow one delays nothing else.
    """

    def __init__(self, allowed_modules: Sequence[str] = (), *, slots: int = 1) -> None:
        self.allowed_modules = [name.removesuffix(".*").rstrip(".") for name in allowed_modules]
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="tool")
        self._makers: Mapping[str, Callable[[Mapping[str, Any], Path], list[ToolSpec]]] = {
            "python": self._python,
            "file_system": self._file_system,
        }

    def tools(self, toolsets: Sequence[Mapping[str, Any]], workspace: Path, observer: ToolObserver) -> list[Tool]:
        """An attempt's tools, behind their gateway.

        Raises:
            ToolsetInvalid: as `build`.
        """
        return ToolGateway(self.build(toolsets, workspace), observer).tools()

    def build(self, toolsets: Sequence[Mapping[str, Any]], workspace: Path) -> list[ToolSpec]:
        """All tools of the toolsets, in their order.

        Raises:
            ToolsetInvalid: a toolset is unknown, malformed or not allowed, or two tools have one name.
        """
        specs = [spec for toolset in toolsets for spec in self._maker(toolset)(toolset, workspace)]
        names = [spec.name for spec in specs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ToolsetInvalid(f"Two tools are called '{twice}'.", hint="Give one of the functions another name.")
        return specs

    def _maker(self, toolset: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Path], list[ToolSpec]]:
        kind = str(toolset.get("type", ""))
        if kind in self._makers:
            return self._makers[kind]
        close = get_close_matches(kind, self._makers, n=1)
        guess = f" Did you mean '{close[0]}'?" if close else ""
        known = ", ".join(sorted(self._makers))
        raise ToolsetInvalid(f"There is no toolset type '{kind[:80]}'.{guess} Known: {known}.")

    def _python(self, toolset: Mapping[str, Any], _: Path) -> list[ToolSpec]:
        wanted = _read(PythonToolset, toolset)
        return python_tools(wanted.functions, self.allowed_modules, wanted.timeout_seconds, self._threads)

    def _file_system(self, toolset: Mapping[str, Any], workspace: Path) -> list[ToolSpec]:
        _read(FileSystemToolset, toolset)
        return file_system_tools(workspace, self._threads)


def _read(model: type[Config], toolset: Mapping[str, Any]) -> Config:
    try:
        return model.model_validate(toolset)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(step) for step in first["loc"])
        fields = ", ".join(model.model_fields)
        raise ToolsetInvalid(
            f"Toolset '{toolset['type']}' is malformed at '{where}': {first['msg']}.", hint=f"Its fields are: {fields}."
        ) from error
