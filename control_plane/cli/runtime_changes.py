"""`holdfast runtimes add` and `remove`: pools of the local stack, each in an environment of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from control_plane.cli.check import is_path
from control_plane.cli.failures import CliError, ExitCode, usage_error
from control_plane.cli.options import Invocation, YesOption, insist, with_stack
from control_plane.cli.output import Output

if TYPE_CHECKING:
    from control_plane.local.added import AddedRuntime
    from control_plane.local.runtime_changes import RuntimeChanges

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the runtime.")]
AddArgument = Annotated[str, typer.Argument(metavar="NAME|PATH", help="Name of a runtime, or a plugin's directory.")]
SourceOption = Annotated[
    str | None, typer.Option("--from", metavar="SOURCE", help="A plugin's distribution: a requirement or a path.")
]
#: Codes of refusals that are the command's own fault.
_USAGE = {"runtime_not_addable", "python_unsupported"}
_MISSING = {"runtime_unknown", "runtime_not_added", "stack_not_running"}


@with_stack
def add(invocation: Invocation, name: AddArgument, source: SourceOption = None) -> None:
    """Add a runtime to the running local stack: makes its environment and starts its pool.

    Executions that run meanwhile keep running. The pool comes back with `holdfast up`.
    """
    if is_path(name):
        if source is not None:
            raise usage_error("The plugin's directory was given twice.", hint="holdfast runtimes add PATH")
        added = _changed(invocation, lambda changes: changes.add_project(Path(name)))
    else:
        added = _changed(invocation, lambda changes: changes.add(name, source))
    _tell(invocation, added, f"Runtime '{added.name}' serves the pool '{added.name}'.")


@with_stack
def remove(invocation: Invocation, name: NameArgument, yes: YesOption = False) -> None:
    """Drain the pool of an added runtime, and delete its environment."""
    insist(f"Remove the runtime '{name}' from the local stack?", yes=yes)
    removed = _changed(invocation, lambda changes: changes.remove(name))
    _tell(invocation, removed, f"Runtime '{name}' is removed.")


def _changed(invocation: Invocation, change: "Callable[[RuntimeChanges], AddedRuntime]") -> "AddedRuntime":
    from control_plane.local.environments import ChangeRefused
    from control_plane.local.runtime_changes import RuntimeChanges

    try:
        return change(RuntimeChanges(invocation.directory, invocation.printer.note))
    except ChangeRefused as failure:
        raise CliError(str(failure), exit_code=_exit_code(failure.code), code=failure.code, hint=failure.hint) from None


def _exit_code(code: str) -> ExitCode:
    if code in _MISSING:
        return ExitCode.NOT_FOUND
    if code in _USAGE:
        return ExitCode.USAGE
    return ExitCode.FAILED


def _tell(invocation: Invocation, runtime: "AddedRuntime", told: str) -> None:
    if invocation.printer.output is Output.TABLE:
        invocation.printer.note(told)
    else:
        invocation.printer.document(runtime.model_dump(mode="json"))
