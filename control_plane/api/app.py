"""The HTTP application."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from control_plane.api.agents.endpoints import router as agents
from control_plane.api.approvals.endpoints import internal as decisions
from control_plane.api.approvals.endpoints import router as approvals
from control_plane.api.body import BodyGuard
from control_plane.api.executions.endpoints import router as executions
from control_plane.api.guard import RequestGuard
from control_plane.api.health.endpoints import router as health
from control_plane.api.internal.endpoints import router as internal
from control_plane.api.internal.journal_endpoints import router as journal
from control_plane.api.keys.endpoints import router as keys
from control_plane.api.metrics.endpoints import router as metrics
from control_plane.api.openapi import complete_document
from control_plane.api.pools.endpoints import router as pools
from control_plane.api.problems import install_problem_handlers
from control_plane.api.request_tracing import TELEMETRY
from control_plane.api.runtimes.endpoints import router as runtimes
from control_plane.api.secrets.endpoints import router as secrets
from control_plane.api.secrets.lost_keys import warn_of_lost_keys
from control_plane.api.sessions.endpoints import router as sessions
from control_plane.api.state import ApiState
from control_plane.api.steps.endpoints import router as steps
from control_plane.api.templates.endpoints import router as templates
from control_plane.reconciler import Reconciler


def create_app(state: ApiState) -> FastAPI:
    """The API on the given collaborators; its lifespan ends with closing the database."""
    app = FastAPI(
        title="Holdfast",
        version=version("holdfast"),
        description="Runs AI agents durably on Temporal, under any agent framework.",
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        telemetry=TELEMETRY,
    )
    app.state.api = state
    install_problem_handlers(app)
    app.add_middleware(BodyGuard, max_bytes=state.settings.max_body_bytes)
    app.add_middleware(RequestGuard, allowed_hosts=state.settings.allowed_hosts, count=state.metrics.problem)
    own = (agents, templates, secrets, executions, approvals, steps, sessions)
    public = (*own, runtimes, pools, keys, health, metrics)
    for router in (*public, internal, journal, decisions):
        app.include_router(router)
    complete_document(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    state: ApiState = app.state.api
    state.hub.start()
    state.frameworks.log_findings()
    works = (Reconciler(state).run(), state.frameworks.watch(), warn_of_lost_keys(state))
    background = [asyncio.create_task(work) for work in works]
    yield
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    await state.hub.stop()
    await state.database.close()
