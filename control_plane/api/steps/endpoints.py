"""Routes of the journal's steps."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from control_plane.api.auth import Reader
from control_plane.api.executions.service import Executions
from control_plane.api.openapi import KEYED, LISTING, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.state import State
from control_plane.api.steps.schemas import MOST, ListSteps, Step, StepPage
from control_plane.api.steps.service import WHOLE, Steps, body_of
from control_plane.errors import NotFound

router = APIRouter(prefix="/api/v1/executions/{execution_id}/steps", tags=["executions"])

Number = Annotated[int, Path(ge=1, le=MOST)]


@router.get("", operation_id="list_steps", response_model_exclude_unset=True, responses=problems(LISTING, NotFound))
async def list_steps(
    execution_id: UUID, query: Annotated[ListSteps, Query()], principal: Reader, state: State
) -> StepPage:
    """The journal: each model call and tool call, in the order in which they were begun."""
    cursors = Cursors(f"steps of {execution_id}", principal.organization_id)
    after = cursors.decode(query.cursor, _number, _number) if query.cursor else None
    async with state.database.transaction(principal.organization_id) as connection:
        await Executions(connection, principal.organization_id).get(execution_id)
        rows = await Steps(connection, execution_id).page(query, (after[0], after[1]) if after else None)
    shown, cursor = page(rows, query.most, lambda row: cursors.encode(row.turn, row.ordinal))
    return StepPage(items=[body_of(row, query.whole) for row in shown], next_cursor=cursor)


@router.get("/{turn}/{ordinal}", operation_id="get_step", responses=problems(KEYED, NotFound))
async def get_step(execution_id: UUID, turn: Number, ordinal: Number, principal: Reader, state: State) -> Step:
    """One step, with what was sent and what was answered."""
    async with state.database.transaction(principal.organization_id) as connection:
        await Executions(connection, principal.organization_id).get(execution_id)
        return body_of(await Steps(connection, execution_id).get(turn, ordinal), WHOLE)


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MOST:
        raise ValueError(text)
    return number
