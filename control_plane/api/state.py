"""What the endpoints of one process share; made by the composition root, held by the app."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from control_plane.api.credentials import Credentials
from control_plane.api.executions.placement import Placement
from control_plane.api.metrics.service import Census
from control_plane.api.runtimes.liveness import LiveWorkers
from control_plane.events.hub import EventHub
from control_plane.frameworks import Frameworks
from control_plane.gateway import TemporalGateway
from control_plane.installation import InstallationId
from control_plane.metrics import ApiMetrics
from control_plane.sealing import Keyring
from control_plane.settings import Settings
from db.session import Database
from runtimes.registry import RuntimeRegistry


@dataclass
class ApiState:
    """The collaborators of the API's endpoints."""

    settings: Settings
    database: Database
    credentials: Credentials
    gateway: TemporalGateway
    hub: EventHub
    frameworks: Frameworks = field(default_factory=Frameworks)
    live: LiveWorkers = field(default_factory=LiveWorkers)
    metrics: ApiMetrics = field(default_factory=ApiMetrics)

    def __post_init__(self) -> None:
        self.census = Census(self.database, self.gateway)
        self.installation = InstallationId(self.database)
        self.keyring = Keyring.of(self.settings.secrets_key)

    @property
    def placement(self) -> Placement:
        """Decides where executions run, by what is known now."""
        return Placement(self.manifests, self.frameworks.config, self.live)

    @property
    def manifests(self) -> RuntimeRegistry:
        """The runtimes that are known here now."""
        return self.frameworks.registry


async def state_of(request: Request) -> ApiState:
    """The state of the app that a request came to."""
    return request.app.state.api


State = Annotated[ApiState, Depends(state_of)]
