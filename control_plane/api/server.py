"""The API's process."""

import signal
from typing import NoReturn

import uvicorn
import uvloop

from control_plane.api.app import create_app
from control_plane.api.credentials import Credentials
from control_plane.api.request_tracing import WorkersTraces
from control_plane.api.state import ApiState
from control_plane.events.hub import EventHub
from control_plane.frameworks import Frameworks
from control_plane.gateway import TemporalGateway
from control_plane.installation import InstallationId
from control_plane.settings import Settings
from control_plane.telemetry import configure_logging
from control_plane.temporal import connect
from control_plane.tracing import OFF, Tracing, tracing
from db.session import Database, create_engine, driver_url
from services.listening.punctual import PunctualProtocol

#: In traces.
SERVICE = "holdfast-api"

#: Seconds that open requests get to end after a SIGTERM.
GRACE_SECONDS = 10

#: Longer than our clients keep an idle connection: it is theirs to close.
KEEP_ALIVE_SECONDS = 75

#: Connections that may wait to be accepted.
BACKLOG = 2048


class DatabaseUrlMissing(ValueError):
    """The API cannot start without a database."""


async def api_state(settings: Settings, traces: Tracing = OFF) -> ApiState:
    """The collaborators of a real API process.

    Raises:
        DatabaseUrlMissing: no database is configured.
    """
    if settings.database_url is None:
        raise DatabaseUrlMissing("No database is configured. Set HOLDFAST_DATABASE_URL, or start with: holdfast up")
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, role=settings.database_role, pool_size=settings.database_pool_size)
    database = Database(engine)
    installation = InstallationId(database)
    temporal = await connect(lazy=True, plugins=traces.plugins())
    return ApiState(
        settings=settings,
        database=database,
        credentials=Credentials(database),
        gateway=TemporalGateway(temporal, installation.read),
        hub=EventHub(driver_url(url).set(drivername="postgresql").render_as_string(hide_password=False)),
        frameworks=Frameworks(settings.frameworks_file),
    )


def serve(settings: Settings) -> None:
    """Serve the API until SIGTERM or SIGINT; open requests may end.

    Raises:
        DatabaseUrlMissing: no database is configured.
        SettingsInvalid: Temporal's or OpenTelemetry's variables cannot be used.
    """
    signal.signal(signal.SIGTERM, _end)
    configure_logging(settings.log_level, settings.log_format)
    with tracing(SERVICE) as traces:
        uvloop.run(_serve(settings, traces))


def _end(*_: object) -> NoReturn:
    """A SIGTERM before the server runs; one that it took is raised again when all has ended."""
    raise SystemExit(0)


async def _serve(settings: Settings, traces: Tracing) -> None:
    app = create_app(await api_state(settings, traces))
    config = uvicorn.Config(
        WorkersTraces(app) if traces.is_on else app,
        host=settings.api_host,
        port=settings.api_port,
        http=PunctualProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    await uvicorn.Server(config).serve()
