"""Routes of templates."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from control_plane.api.agents.places import check_urls
from control_plane.api.auth import Reader, Writer
from control_plane.api.openapi import CHANGING, KEYED, LISTING, WITH_BODY, problems
from control_plane.api.pagination import Cursors, page
from control_plane.api.runtimes.service import live_workers
from control_plane.api.state import State
from control_plane.api.templates.schemas import CreateTemplate, ListTemplates, Template, TemplatePage, UpdateTemplate
from control_plane.api.templates.service import Templates
from control_plane.errors import (
    CommandForbidden,
    NameConflict,
    NotFound,
    RuntimeUnknown,
    SchemaInvalid,
    TemplateBuiltIn,
    TemplateInUse,
    UrlForbidden,
)
from control_plane.secret_errors import SecretsKeyMissing

router = APIRouter(prefix="/api/v1/templates", tags=["templates"])

DEFINITION = (RuntimeUnknown, SchemaInvalid, UrlForbidden, CommandForbidden, SecretsKeyMissing)


@router.post(
    "", operation_id="create_template", status_code=201, responses=problems(WITH_BODY, NameConflict, *DEFINITION)
)
async def create_template(body: CreateTemplate, principal: Writer, state: State, response: Response) -> Template:
    """Define a template of the organization's own."""
    check_urls(body.defaults.toolsets, state.settings.web_allow, "/defaults")
    async with state.database.transaction(principal.organization_id) as connection:
        workers = await live_workers(connection, principal)
        templates = Templates(connection, principal.organization_id, state.manifests, workers, state.keyring)
        made = await templates.create(body)
    response.headers["Location"] = f"/api/v1/templates/{made.name}"
    return made


@router.get("", operation_id="list_templates", responses=problems(LISTING))
async def list_templates(query: Annotated[ListTemplates, Query()], principal: Reader, state: State) -> TemplatePage:
    """Templates by name: the built-in ones and the organization's own."""
    cursors = Cursors("templates", principal.organization_id)
    after = cursors.decode(query.cursor, str)[0] if query.cursor else ""
    async with state.database.transaction(principal.organization_id) as connection:
        found = await Templates(connection, principal.organization_id, state.manifests).page(query, after)
    shown, cursor = page(found, query.limit, lambda each: cursors.encode(each.name))
    return TemplatePage(items=list(shown), next_cursor=cursor)


@router.get("/{template}", operation_id="get_template", responses=problems(KEYED, NotFound))
async def get_template(template: str, principal: Reader, state: State) -> Template:
    """One template."""
    async with state.database.transaction(principal.organization_id) as connection:
        return await Templates(connection, principal.organization_id, state.manifests).get(template)


@router.patch(
    "/{template}",
    operation_id="update_template",
    responses=problems(WITH_BODY, NotFound, TemplateBuiltIn, *DEFINITION),
)
async def update_template(template: str, body: UpdateTemplate, principal: Writer, state: State) -> Template:
    """Replace fields of a template; agents that were made from it keep what they have."""
    check_urls(body.defaults.toolsets, state.settings.web_allow, "/defaults")
    async with state.database.transaction(principal.organization_id) as connection:
        workers = await live_workers(connection, principal)
        templates = Templates(connection, principal.organization_id, state.manifests, workers, state.keyring)
        return await templates.update(template, body)


@router.delete(
    "/{template}",
    operation_id="delete_template",
    status_code=204,
    responses=problems(CHANGING, NotFound, TemplateBuiltIn, TemplateInUse),
)
async def delete_template(template: str, principal: Writer, state: State) -> None:
    """Delete a template that no agent was made from."""
    async with state.database.transaction(principal.organization_id) as connection:
        await Templates(connection, principal.organization_id, state.manifests).delete(template)
