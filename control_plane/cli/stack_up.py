"""`holdfast up`: in the foreground or detached, and what it prints when all is ready."""

from control_plane.cli.failures import CliError, ExitCode
from control_plane.cli.options import Invocation
from control_plane.cli.output import Output
from control_plane.local.child import ServiceFailed
from control_plane.local.detached import start_detached, wait_until_running
from control_plane.local.directory import DirectoryRefused
from control_plane.local.progress import Progress
from control_plane.local.state import StackPhase, StackState, running_stack


class StackStart:
    """One `holdfast up`; `wanted_ports` by their use."""

    def __init__(self, invocation: Invocation, wanted_ports: dict[str, int]) -> None:
        self._printer = invocation.printer
        self._directory = invocation.directory
        self._settings = invocation.settings
        self._wanted_ports = wanted_ports

    def in_foreground(self, *, summary: bool) -> None:
        """Run the stack until Ctrl-C or SIGTERM; `summary` prints the table when it is ready.

        Raises:
            CliError: it cannot be started.
        """
        from control_plane.cli.stack_foreground import UNUSABLE, supervise

        ready = self._show_with_hint if summary else _nothing
        try:
            self._directory.prepare()
            with self._directory.held() as mine:
                if mine:
                    supervise(self._settings, self._directory, self._wanted_ports, ready)
                    return
        except UNUSABLE as error:
            raise _failed(str(error)) from error
        self._already_running(summary=summary)

    def in_background(self) -> None:
        """Start the stack, wait until it is ready, and leave it running.

        Raises:
            CliError: it cannot be started.
        """
        try:
            self._directory.prepare()
            if running_stack(self._directory) is not None:
                self._already_running(summary=True)
                return
            options = [f"--{_FLAGS[use]}={port}" for use, port in self._wanted_ports.items()]
            self._show(start_detached(self._directory, options, Progress().say))
        except (DirectoryRefused, ServiceFailed) as error:
            raise _failed(str(error)) from error

    def _already_running(self, *, summary: bool) -> None:
        state = running_stack(self._directory)
        if state is None or state.phase is StackPhase.STARTING:
            self._printer.note("It is being started by another `holdfast up`: waiting for it.")
            state = wait_until_running(self._directory)
        if state is None:
            raise _failed("Another `holdfast up` holds the data directory, but its stack is not running.")
        self._printer.note(f"Already running, pid {state.supervisor.pid}.")
        if summary:
            self._show(state)

    def _show_with_hint(self, state: StackState) -> None:
        self._show(state)
        self._printer.note("Ctrl-C stops everything; the data stays.")

    def _show(self, state: StackState) -> None:
        if self._printer.output is not Output.TABLE:
            self._printer.document(state.model_dump(mode="json"))
            return
        self._printer.record(
            {
                "API": state.api_url,
                "OpenAPI": f"{state.api_url}/openapi.json",
                "Temporal UI": state.temporal_ui_url,
                "Temporal": state.temporal_address,
                "PostgreSQL": state.database_url,
                "Data": str(self._directory.root),
            }
        )
        self._printer.note(f"Try:  holdfast {_first_command(state)}")


def _first_command(state: StackState) -> str:
    return f'run {state.demo} "hello"' if state.demo else "agents create demo --model PROVIDER/MODEL"


def _nothing(state: StackState) -> None:
    """The table is printed by somebody else."""


_FLAGS = {"api": "port", "temporal": "temporal-port", "temporal_ui": "ui-port"}


def _failed(detail: str) -> CliError:
    hint = "`holdfast doctor` checks what is needed."
    return CliError(detail, exit_code=ExitCode.UNREACHABLE, code="stack_not_started", hint=hint)
