"""The supervisor as a command in the foreground; `holdfast up -d` starts it without loading it."""

import asyncio
import os
from collections.abc import Callable

from control_plane.local.accounts import AccountMissing
from control_plane.local.child import ServiceFailed
from control_plane.local.directory import DataDirectory, DirectoryRefused
from control_plane.local.postgres import PostgresUnusable
from control_plane.local.progress import Progress
from control_plane.local.secrets_key import SecretsKeyUnusable
from control_plane.local.state import StackState
from control_plane.local.supervisor import Supervisor
from control_plane.local.temporal import TemporalMissing
from control_plane.settings import Settings

UNUSABLE = (AccountMissing, DirectoryRefused, PostgresUnusable, SecretsKeyUnusable, ServiceFailed, TemporalMissing)


def supervise(
    settings: Settings, directory: DataDirectory, ports: dict[str, int], ready: Callable[[StackState], None]
) -> None:
    """Run the stack until Ctrl-C or SIGTERM; `ports` are those that the user asked for, by their use.

    Raises:
        AccountMissing, PostgresUnusable, SecretsKeyUnusable, ServiceFailed, TemporalMissing: it cannot be started.
    """
    # As root the directory must let PostgreSQL's user pass; what lies in it stays private.
    os.umask(0o077)
    progress = Progress()
    progress.say(f"Starting Holdfast in {directory.root}")
    if settings.database_url is not None:
        progress.say("Note: the local stack has its own PostgreSQL; database_url is not used.")
    if "api" not in ports and "api_port" in settings.model_fields_set:
        ports = {**ports, "api": settings.api_port}
    asyncio.run(Supervisor(settings, directory, ports, progress).run(ready))
