"""Routes of agents."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from control_plane.api.agents.places import check_urls
from control_plane.api.agents.schemas import Agent, AgentPage, CreateAgent, ListAgents, UpdateAgent
from control_plane.api.agents.service import Agents
from control_plane.api.auth import Reader, Writer
from control_plane.api.credentials import Principal
from control_plane.api.openapi import CHANGING, KEYED, LISTING, WITH_BODY, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.runtimes.service import live_workers
from control_plane.api.state import ApiState, State
from control_plane.errors import (
    AgentInUse,
    CommandForbidden,
    NameConflict,
    NotFound,
    OptionUnsupported,
    PromptTooLarge,
    RuntimeUnknown,
    SchemaInvalid,
    TemplateUnknown,
    UrlForbidden,
    VersionConflict,
)
from control_plane.secret_errors import SecretsKeyMissing

router = APIRouter(prefix="/api/v1/agents", tags=["agents"])

IfMatch = Annotated[str | None, Header(alias="If-Match", description="The ETag of the version that was seen.")]
DEFINITION = (
    NameConflict,
    RuntimeUnknown,
    OptionUnsupported,
    PromptTooLarge,
    SchemaInvalid,
    UrlForbidden,
    CommandForbidden,
    SecretsKeyMissing,
)

_ETAG = re.compile(r'"(\d{1,9})"')


@router.post(
    "", operation_id="create_agent", status_code=201, responses=problems(WITH_BODY, TemplateUnknown, *DEFINITION)
)
async def create_agent(body: CreateAgent, principal: Writer, state: State, response: Response) -> Agent:
    """Define an agent."""
    check_urls(body.toolsets, state.settings.web_allow)
    async with state.database.transaction(principal.organization_id) as connection:
        agent = await (await agents_of(connection, principal, state)).create(body)
    response.headers["Location"] = f"/api/v1/agents/{agent.id}"
    return _tagged(agent, response)


@router.get("", operation_id="list_agents", responses=problems(LISTING))
async def list_agents(query: Annotated[ListAgents, Query()], principal: Reader, state: State) -> AgentPage:
    """Agents, newest first."""
    cursors = Cursors("agents", principal.organization_id)
    after = cursors.decode(query.cursor, datetime.fromisoformat, UUID) if query.cursor else None
    async with state.database.transaction(principal.organization_id) as connection:
        agents = await agents_of(connection, principal, state)
        found = await agents.page(query, (after[0], after[1]) if after else None)
    shown, cursor = page(found, query.limit, lambda agent: cursors.encode(agent.created_at.isoformat(), agent.id))
    return AgentPage(items=list(shown), next_cursor=cursor)


@router.get("/{agent}", operation_id="get_agent", responses=problems(KEYED, NotFound))
async def get_agent(agent: str, principal: Reader, state: State, response: Response) -> Agent:
    """One agent, by id or by name."""
    async with state.database.transaction(principal.organization_id) as connection:
        found = await (await agents_of(connection, principal, state)).get(agent)
    return _tagged(found, response)


@router.patch(
    "/{agent}",
    operation_id="update_agent",
    responses=problems(WITH_BODY, NotFound, VersionConflict, *DEFINITION),
)
async def update_agent(
    agent: str, body: UpdateAgent, principal: Writer, state: State, response: Response, if_match: IfMatch = None
) -> Agent:
    """Replace fields of an agent; running executions keep the version that they started with."""
    check_urls(body.toolsets, state.settings.web_allow)
    async with state.database.transaction(principal.organization_id) as connection:
        agents = await agents_of(connection, principal, state)
        changed = await agents.update(agent, body, _versions(if_match))
    return _tagged(changed, response)


@router.delete(
    "/{agent}",
    operation_id="delete_agent",
    status_code=204,
    responses=problems(CHANGING, NotFound, AgentInUse, VersionConflict),
)
async def delete_agent(agent: str, principal: Writer, state: State, if_match: IfMatch = None) -> None:
    """Delete an agent that has no running execution."""
    async with state.database.transaction(principal.organization_id) as connection:
        await Agents(connection, principal.organization_id, state.manifests).delete(agent, _versions(if_match))


async def agents_of(connection: AsyncConnection, principal: Principal, state: ApiState) -> Agents:
    """The caller's agents, beside the workers that serve them now."""
    workers = await live_workers(connection, principal)
    frameworks, keyring = state.frameworks.config, state.keyring
    return Agents(connection, principal.organization_id, state.manifests, workers, frameworks, keyring)


def _tagged(agent: Agent, response: Response) -> Agent:
    response.headers["ETag"] = f'"{agent.version}"'
    return agent


def _versions(if_match: str | None) -> Collection[int] | None:
    """The versions that a caller takes for the present one, None for any; a tag that no version has matches none."""
    if if_match is None or if_match.strip() == "*":
        return None
    return {int(version) for version in _ETAG.findall(if_match)}
