"""The commands and where they are; each is built when it is called, so that `--help` stays fast."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from control_plane.cli.failures import usage_error
from runtimes.meant import meant


@dataclass(frozen=True)
class Entry:
    """One line of the help, and the function or group behind it."""

    module: str
    name: str
    help: str

    def build(self, command_name: str) -> Any:
        """The command as typer runs it."""
        found = getattr(import_module(f"control_plane.cli.{self.module}"), self.name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(command_name)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = command_name
        return command


COMMANDS: Mapping[str, Entry] = {
    "up": Entry("stack", "up", "Start everything on this machine: PostgreSQL, Temporal, API, workers."),
    "down": Entry("stack", "down", "Stop the local stack; the data stays."),
    "status": Entry("stack", "status", "Show the local stack's processes. Exit code 3 if it is not running."),
    "doctor": Entry("stack", "doctor", "Check everything that Holdfast needs, and say how to mend what is wrong."),
    "reset": Entry("stack", "reset", "Stop the local stack and delete its data."),
    "run": Entry("run", "run", "Ask an agent; the answer streams to stdout."),
    "executions": Entry("executions", "app", "Look at executions and steer them."),
    "approvals": Entry("approvals", "app", "Decide what agents may do."),
    "agents": Entry("agents", "app", "Define agents."),
    "templates": Entry("templates", "app", "Define templates, which agents are made from."),
    "secrets": Entry("secrets", "app", "Keep secrets that agents refer to."),
    "sessions": Entry("sessions", "app", "Look at conversations."),
    "runtimes": Entry("workers", "runtimes", "Look at runtimes, check them, add them to the local stack."),
    "pools": Entry("workers", "pools", "Look at worker pools, and drain them."),
    "keys": Entry("keys", "app", "Manage API keys."),
    "config": Entry("config", "app", "Look at settings, and where they come from."),
    "api": Entry("processes", "api", "Serve the API, against any PostgreSQL and any Temporal."),
    "worker": Entry("processes", "worker", "Run a worker, for turns (--pool NAME) or for workflows (--workflows)."),
    "migrate": Entry("processes", "migrate", "Bring the database (HOLDFAST_DATABASE_URL) to the newest schema."),
    "scripted-model": Entry(
        "processes",
        "scripted_model",
        "Serve the scripted model, which follows directions in the prompt. It is no language model.",
    ),
    "version": Entry("processes", "version", "Show the version."),
}


class LazyGroup(TyperGroup):
    """The top-level command."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build one command."""
        entry = COMMANDS.get(cmd_name)
        return entry.build(cmd_name) if entry else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command, or say which one may be meant."""
        if args[0] not in COMMANDS and (question := meant(args[0], COMMANDS)):
            raise usage_error(f"No such command '{args[0]}'. {question}", hint="holdfast --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The lines of the help, without building a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


def command_group(help_text: str) -> typer.Typer:
    """A group of commands, also where it has only one."""
    return typer.Typer(
        help=help_text, callback=_nothing, rich_markup_mode=None, no_args_is_help=True, add_completion=False
    )


def _nothing() -> None:
    """A group does nothing by itself."""
