"""Options that commands share, and what they are turned into before a command runs."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer

from control_plane.cli.failures import CliError, ExitCode, settings_error, usage_error
from control_plane.cli.output import Output, Printer

if TYPE_CHECKING:
    from control_plane.cli.client import ApiClient
    from control_plane.local.directory import DataDirectory
    from control_plane.settings import Settings

P = ParamSpec("P")

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the data on stdout.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as -o json.")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Data directory of the local stack.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Settings file (holdfast.toml).")]
ApiUrlOption = Annotated[str | None, typer.Option("--api-url", help="URL of the API.")]
ApiKeyOption = Annotated[str | None, typer.Option("--api-key", help="API key; better given as HOLDFAST_API_KEY.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many to list.")]
CursorOption = Annotated[str | None, typer.Option("--cursor", help="Go on where the last list ended.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def segment(text: str) -> str:
    """A name or id as one segment of a path: what was typed cannot lead to another one.

    Raises:
        CliError: it is empty.
    """
    from urllib.parse import quote

    if not text.strip("."):
        raise usage_error(f"{text!r} is no name and no id.")
    return quote(text, safe="")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted, unless `yes` was said or there is nobody to ask.

    Raises:
        CliError: the answer was no.
    """
    if not yes and sys.stdin.isatty() and not typer.confirm(question, err=True):
        raise CliError("Nothing was deleted.", exit_code=ExitCode.CANCELLED, code="declined")


def insist(question: str, *, yes: bool) -> None:
    """Ask before something is deleted that nobody can bring back, and refuse where there is nobody to ask.

    Raises:
        CliError: the answer was no, or there is nobody to ask.
    """
    if not yes and not sys.stdin.isatty():
        raise usage_error("There is nobody to ask.", hint="Say --yes if you mean it.")
    confirm(question, yes=yes)


class Invocation:
    """One run of a command: its output, the settings, and the API where it is needed."""

    def __init__(
        self,
        *,
        output: Output = Output.TABLE,
        as_json: bool = False,
        data_dir: Path | None = None,
        config: Path | None = None,
        api_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self.printer = Printer(Output.JSON if as_json else output)
        self._arguments = {"data_dir": data_dir, "api_url": api_url, "api_key": api_key}
        if config is not None:
            os.environ["HOLDFAST_CONFIG"] = str(config)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given as options."""
        return {name: value for name, value in self._arguments.items() if value is not None}

    @functools.cached_property
    def settings(self) -> "Settings":
        """The settings; options win over environment and file.

        Raises:
            CliError: a setting cannot be used.
        """
        from control_plane.settings import SettingsInvalid
        from control_plane.settings_loading import load_settings

        try:
            return load_settings(**self.given)
        except SettingsInvalid as invalid:
            raise settings_error(invalid) from None

    @functools.cached_property
    def directory(self) -> "DataDirectory":
        """The data directory of the local stack."""
        from control_plane.local.directory import DataDirectory

        return DataDirectory(self.settings.data_dir)

    @functools.cached_property
    def api(self) -> "ApiClient":
        """The API, found as docs/cli.md says."""
        from control_plane.cli.client import ApiClient
        from control_plane.cli.connection import find_api

        return ApiClient(find_api(self.settings, self.directory))


_CONFIG = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigOption)
_DATA_DIR = inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DataDirOption)
_OUTPUT = (
    inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, default=Output.TABLE, annotation=OutputOption),
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),
)
_API = (
    inspect.Parameter("api_url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ApiUrlOption),
    inspect.Parameter("api_key", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ApiKeyOption),
)


def with_settings(command: Callable[Concatenate[Invocation, P], None]) -> Callable[..., None]:
    """A command that starts a process: settings only."""
    return _with_options(command, (_CONFIG, _DATA_DIR))


def with_stack(command: Callable[Concatenate[Invocation, P], None]) -> Callable[..., None]:
    """A command on this machine alone."""
    return _with_options(command, (*_OUTPUT, _CONFIG, _DATA_DIR))


def with_api(command: Callable[Concatenate[Invocation, P], None]) -> Callable[..., None]:
    """A command that talks to the API."""
    return _with_options(command, (*_OUTPUT, _CONFIG, _DATA_DIR, *_API))


def _with_options(command: Callable[..., None], options: tuple[inspect.Parameter, ...]) -> Callable[..., None]:
    shared = {option.name for option in options}

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        invocation = Invocation(**{name: arguments.pop(name) for name in shared})
        command(invocation, **arguments)

    own = list(inspect.signature(command).parameters.values())[1:]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*parameters, *options])  # pyright: ignore[reportAttributeAccessIssue]
    return run
