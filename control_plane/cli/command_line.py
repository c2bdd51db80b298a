"""The command line: what is understood, run, and said at the end."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from control_plane.cli.commands import LazyGroup
from control_plane.cli.failures import CliError, ExitCode, usage_error

#: In the command line's arguments, joined by NUL.
JSON_FLAGS = re.compile(r"(?:^|\0)(?:--json|(?:-o|--output)[\0=]?jsonl?)(?=\0|$)")


# With a markup mode typer would import rich for every `--help`.
app = typer.Typer(
    name="holdfast", cls=LazyGroup, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"holdfast {version('holdfast')}\n")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
]


@app.callback()
def holdfast(version: VersionOption = False) -> None:
    """Runs AI agents durably on Temporal."""


def run() -> int:
    """Run the command line; gives the exit code, as documented in docs/cli.md."""
    _open_missing_streams()
    as_json = wants_json(sys.argv[1:])
    try:
        outcome = typer.main.get_command(app).main(standalone_mode=False)
    except CliError as error:
        return _fail(error, as_json)
    except typer.TyperException as error:
        return _fail_usage(error, as_json)
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except SystemExit as ended:
        return _ended(ended)
    except Exception as error:  # noqa: BLE001  # the process's edge
        traceback.print_exc()
        return _fail(_bug(error), as_json)
    return outcome if isinstance(outcome, int) else ExitCode.OK


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether errors are to be JSON; looked up by hand, since the arguments themselves may be wrong."""
    return JSON_FLAGS.search("\0".join(arguments)) is not None


def _open_missing_streams() -> None:
    """Lead standard streams that were closed to nowhere, before a socket of ours gets their numbers."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, mode))


def _ended(ended: SystemExit) -> int:
    """Typer ends with 1 when nobody reads the output any more; other tools die of SIGPIPE then."""
    cause = ended.__context__
    if isinstance(cause, OSError) and cause.errno == errno.EPIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return ExitCode.PIPE_CLOSED
    return ended.code if isinstance(ended.code, int) else ExitCode.FAILED


def _fail(error: CliError, as_json: bool) -> int:
    sys.stderr.write(error.render(as_json=as_json) + "\n")
    return error.exit_code


def _bug(error: Exception) -> CliError:
    text = f"{type(error).__name__}: {error}"
    return CliError(text, exit_code=ExitCode.BUG, code="bug", hint="This is a bug in Holdfast: please report it.")


def _fail_usage(error: typer.TyperException, as_json: bool) -> int:
    show = getattr(error, "show", None)
    if as_json or show is None:
        return _fail(usage_error(error.format_message(), hint="holdfast --help"), as_json)
    show()
    return error.exit_code
