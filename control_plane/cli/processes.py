"""Commands that are processes: api, worker, migrate, scripted-model."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from control_plane.cli.failures import CliError, ExitCode, require_workflows, settings_error, usage_error
from control_plane.cli.options import Invocation, with_settings, with_stack
from control_plane.cli.output import Output

if TYPE_CHECKING:
    from control_plane.settings import Settings


@with_settings
def api(invocation: Invocation) -> None:
    """Serve the API, against any PostgreSQL and any Temporal."""
    require_workflows("control-plane")
    from control_plane.api.server import DatabaseUrlMissing, serve
    from control_plane.settings import SettingsInvalid

    try:
        serve(invocation.settings)
    except DatabaseUrlMissing as missing:
        raise usage_error(str(missing)) from None
    except SettingsInvalid as invalid:
        raise settings_error(invalid) from None


@with_settings
def worker(
    invocation: Invocation,
    pool: Annotated[str | None, typer.Option("--pool", help="Run turns of this worker pool.")] = None,
    runtimes: Annotated[
        str | None,
        typer.Option("--runtimes", help="What the pool serves: a,b; else the runtime of its name."),
    ] = None,
    workflows: Annotated[bool, typer.Option("--workflows", help="Run workflows.")] = False,
) -> None:
    """Run a worker, for turns (--pool NAME) or for workflows (--workflows)."""
    if workflows == (pool is not None):
        raise usage_error("A worker runs either workflows or turns.", hint="Give --workflows or --pool NAME.")
    if pool is not None:
        _check_pool_name(pool)
    settings = _joined(invocation)
    if pool is None:
        require_workflows("control-plane")
        from control_plane.worker.workflows import run_workflow_worker

        _run_worker(lambda: run_workflow_worker(settings), settings.api_url)
    else:
        from control_plane.worker.turns import run_runtime_worker

        served = [name.strip() for name in (runtimes or "").split(",") if name.strip()]
        _run_worker(lambda: run_runtime_worker(settings, pool, served), settings.api_url)


def _joined(invocation: Invocation) -> "Settings":
    """The settings, and what the running local stack says where they are silent."""
    from control_plane.local.joining import joined
    from control_plane.settings import SettingsInvalid

    try:
        settings, stack = joined(invocation.settings, invocation.directory)
    except SettingsInvalid as invalid:
        raise settings_error(invalid) from None
    if stack is not None:
        invocation.printer.note(f"Joins the local stack in {invocation.directory.root}: {stack.api_url}")
    return settings


def _check_pool_name(pool: str) -> None:
    import re

    from runtimes.pools import POOL_NAME, POOL_RULE, WORKFLOWS

    if not re.fullmatch(POOL_NAME, pool):
        raise usage_error(f"{pool!r} is no name of a pool.", hint=f"A pool's name has {POOL_RULE}.")
    if pool == WORKFLOWS:
        raise usage_error(f"The pool '{pool}' runs workflows, no turns.", hint="holdfast worker --workflows")


def _run_worker(run: Callable[[], None], api_url: str) -> None:
    from control_plane.settings import SettingsInvalid
    from control_plane.temporal import TemporalUnreachable
    from runtimes.errors import ConfigurationInvalid, WorkerRefused

    try:
        run()
    except SettingsInvalid as invalid:
        _end(settings_error(invalid))
    except WorkerRefused as refusal:
        text = f"The API at {api_url} refuses this worker: {refusal.message}"
        _end(CliError(text, exit_code=ExitCode.AUTH, code="worker_refused", hint=refusal.hint))
    except ConfigurationInvalid as invalid:
        _end(CliError(invalid.message, exit_code=ExitCode.USAGE, code=invalid.code, hint=invalid.hint))
    except TemporalUnreachable as gone:
        text, unreachable = str(gone), ExitCode.UNREACHABLE
        _end(CliError(text, exit_code=unreachable, code="temporal_unreachable", checks=gone.checks, hint=gone.hint))


def _end(error: CliError) -> NoReturn:
    """End the process without Python's tidying, which the threads of Temporal's SDK do not always survive."""
    sys.stderr.write(error.render(as_json=False) + "\n")
    sys.stderr.flush()
    os._exit(error.exit_code)


@with_settings
def migrate(
    invocation: Invocation,
    first_key: Annotated[
        bool, typer.Option("--first-key", help="Print a first API key (admin) if there is none yet.")
    ] = False,
) -> None:
    """Bring the database (HOLDFAST_DATABASE_URL) to the newest schema."""
    settings = invocation.settings
    if settings.database_url is None:
        raise usage_error("There is no database to migrate.", hint="Set HOLDFAST_DATABASE_URL=postgresql://….")
    from sqlalchemy.exc import OperationalError

    from control_plane.sealing import Keyring
    from control_plane.secret_moving import mover
    from db.migrate import MigrationRefused, upgrade

    try:
        upgrade(
            settings.database_url.get_secret_value(),
            app_role=settings.database_role,
            api_user=settings.database_api_user,
            move_secrets=mover(Keyring.of(settings.secrets_key)),
        )
    except (MigrationRefused, ValueError) as error:
        raise CliError(str(error), exit_code=ExitCode.USAGE, code="migration_refused") from error
    except OperationalError as error:
        raise CliError(
            f"The database cannot be reached: {str(error.orig).strip()}.",
            exit_code=ExitCode.UNREACHABLE,
            code="database_unreachable",
            hint="Check HOLDFAST_DATABASE_URL and that PostgreSQL runs.",
        ) from error
    invocation.printer.note("The database has the newest schema.")
    if first_key:
        _make_first_key(invocation)


def _make_first_key(invocation: Invocation) -> None:
    import asyncio

    from control_plane.first_key import make_first_key

    settings = invocation.settings
    assert settings.database_url is not None
    key = asyncio.run(make_first_key(settings.database_url.get_secret_value(), settings.database_role))
    if key is None:
        invocation.printer.note("There are API keys already; make others with: holdfast keys create")
        return
    invocation.printer.text(f"{key}\n")
    invocation.printer.note("Keep it now: it is not shown again.")


@with_settings
def scripted_model(
    invocation: Invocation,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on loopback.")] = 8090,
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    reword: Annotated[
        bool, typer.Option("--reword", help="Say it in other words, and with other call ids, when asked again.")
    ] = False,
) -> None:
    """Serve the scripted model, which follows directions in the prompt. It is no language model."""
    import asyncio

    from services.scripted_model.server import serve

    asyncio.run(serve(host, port, rewords=reword))


@with_stack
def version(invocation: Invocation) -> None:
    """Show the version."""
    from importlib.metadata import version as installed_version

    number = installed_version("holdfast")
    if invocation.printer.output is Output.TABLE:
        invocation.printer.text(f"holdfast {number}\n")
    else:
        invocation.printer.document({"version": number})
