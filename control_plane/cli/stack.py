"""Commands on the local stack: up, down, status, reset, doctor."""

from typing import Annotated, Any

import typer

from control_plane.cli.failures import CliError, ExitCode, require_workflows, settings_error, usage_error
from control_plane.cli.options import Invocation, YesOption, insist, with_stack
from control_plane.cli.output import Output

NOT_RUNNING = ExitCode.NOT_FOUND

DetachOption = Annotated[bool, typer.Option("--detach", "-d", help="Leave it running in the background.")]
ApiPortOption = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the API.")]
TemporalPortOption = Annotated[int | None, typer.Option("--temporal-port", min=1, max=65535, help="Port of Temporal.")]
UiPortOption = Annotated[int | None, typer.Option("--ui-port", min=1, max=65535, help="Port of Temporal's Web UI.")]

#: A detached supervisor leaves the table to the command that started it.
SummaryOption = Annotated[bool, typer.Option("--summary/--no-summary", hidden=True)]


@with_stack
def up(
    invocation: Invocation,
    detach: DetachOption = False,
    port: ApiPortOption = None,
    temporal_port: TemporalPortOption = None,
    ui_port: UiPortOption = None,
    summary: SummaryOption = True,
) -> None:
    """Start everything on this machine: PostgreSQL, Temporal, API, workers."""
    require_workflows("local")
    from control_plane.cli.stack_up import StackStart

    _check_frameworks_file(invocation)
    wanted = {"api": port, "temporal": temporal_port, "temporal_ui": ui_port}
    start = StackStart(invocation, {use: number for use, number in wanted.items() if number is not None})
    if detach:
        start.in_background()
    else:
        start.in_foreground(summary=summary)


def _check_frameworks_file(invocation: Invocation) -> None:
    """A file that no part of the stack could use is told once, before any of them begins."""
    from control_plane.frameworks_file import read_frameworks
    from control_plane.settings import SettingsInvalid

    if (file := invocation.settings.frameworks_file) is not None:
        try:
            read_frameworks(file)
        except SettingsInvalid as invalid:
            raise settings_error(invalid) from None


@with_stack
def down(invocation: Invocation) -> None:
    """Stop the local stack; the data stays."""
    from control_plane.local.stack import stop_stack

    stopped = stop_stack(invocation.directory, invocation.printer.note)
    if invocation.printer.output is Output.TABLE:
        invocation.printer.note("Stopped; the data stays." if stopped else "The local stack is not running.")
    else:
        invocation.printer.document({"stopped": stopped, "data_dir": str(invocation.directory.root)})


@with_stack
def status(invocation: Invocation) -> None:
    """Show the local stack's processes. Exit code 3 if it is not running."""
    from control_plane.local.state import running_stack

    state = running_stack(invocation.directory)
    if state is None:
        raise CliError(
            f"The local stack in {invocation.directory.root} is not running.",
            exit_code=NOT_RUNNING,
            code="stack_not_running",
            hint="Start it with `holdfast up`.",
        )
    if invocation.printer.output is Output.TABLE:
        invocation.printer.table(_processes(state), _PROCESS_COLUMNS)
    else:
        invocation.printer.document(state.model_dump(mode="json"))


@with_stack
def reset(invocation: Invocation, yes: YesOption = False) -> None:
    """Stop the local stack and delete its data."""
    from control_plane.local.directory import DirectoryRefused
    from control_plane.local.stack import stop_stack

    directory = invocation.directory
    if not directory.root.exists():
        invocation.printer.note(f"There is nothing in {directory.root}.")
        return
    if not directory.is_ours():
        raise usage_error(f"{directory.root} is no data directory of Holdfast: nothing was deleted.")
    insist(f"Delete everything in {directory.root}: agents, sessions, executions, keys?", yes=yes)
    stop_stack(directory, invocation.printer.note)
    try:
        directory.clear()
    except (DirectoryRefused, OSError) as error:
        raise CliError(str(error), exit_code=ExitCode.USAGE, code="reset_refused") from error
    invocation.printer.note(f"Deleted what was in {directory.root}.")


@with_stack
def doctor(invocation: Invocation) -> None:
    """Check everything that Holdfast needs, and say how to mend what is wrong."""
    from control_plane.local.doctor import examine

    checks = [check.model_dump(mode="json") for check in examine(invocation.settings, invocation.directory)]
    if invocation.printer.output is Output.TABLE:
        invocation.printer.table(checks, {"ID": "id", "STATUS": "status", "DETAIL": "detail", "FIX": "fix"})
    elif invocation.printer.output is Output.JSON:
        invocation.printer.document({"checks": checks})
    else:
        for check in checks:
            invocation.printer.document(check)
    if any(check["status"] == "fail" for check in checks):
        raise typer.Exit(ExitCode.FAILED)


_PROCESS_COLUMNS = {"PROCESS": "title", "PID": "pid", "STATE": "phase", "RESTARTS": "restarts", "ADDRESS": "address"}


def _processes(state: Any) -> list[dict[str, Any]]:
    supervisor = {"title": "Supervisor", "pid": state.supervisor.pid, "phase": state.phase, "restarts": 0}
    listed = [{**process.model_dump(), "pid": process.identity and process.identity.pid} for process in state.processes]
    return [supervisor, *listed]
