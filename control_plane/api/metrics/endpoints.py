"""Routes of metrics; the page for Prometheus needs no key."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from control_plane.api.auth import Reader
from control_plane.api.metrics.figures import Figures
from control_plane.api.metrics.schemas import ExecutionMetrics
from control_plane.api.openapi import KEYED, OPEN, problems
from control_plane.api.state import State
from control_plane.errors import NotFound
from control_plane.metrics import exposed

router = APIRouter(tags=["metrics"])

#: The page is text; its exact form is what the caller asks for.
PAGE = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The metrics."}}


@router.get("/metrics", operation_id="metrics_page", response_class=Response, responses=PAGE | problems(OPEN))
async def metrics_page(request: Request, state: State) -> Response:
    """The metrics of this process and of the installation, for Prometheus."""
    state.metrics.show(await state.census.look(state.metrics.load))
    body, content_type = exposed(state.metrics.registry, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})


@router.get(
    "/api/v1/executions/{execution_id}/metrics",
    operation_id="get_execution_metrics",
    responses=problems(KEYED, NotFound),
)
async def get_execution_metrics(execution_id: UUID, principal: Reader, state: State) -> ExecutionMetrics:
    """What one execution took so far: time, attempts, model calls, tool calls, tokens, cost, errors."""
    async with state.database.transaction(principal.organization_id) as connection:
        return await Figures(connection, principal.organization_id).of(execution_id)
