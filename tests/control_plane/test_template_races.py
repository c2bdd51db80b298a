"""Templates that are deleted while agents are made from them, and those of other organizations that share a name."""

import asyncio
from typing import Any

import httpx
import psycopg

from control_plane.api.agents.schemas import CreateAgent
from control_plane.api.agents.service import Agents
from control_plane.api.templates.schemas import CreateTemplate, UpdateTemplate
from control_plane.api.templates.service import Templates
from db.session import Database, create_engine
from runtimes.templates import AgentType
from tests.control_plane.api.organizations import code, new_organization
from tests.control_plane.installation import Installation

TEMPLATES = "/api/v1/templates"
_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


async def made(installation: Installation, name: str) -> None:
    """A template of the organization's own."""
    answer = await installation.http.post(TEMPLATES, json={"name": name, "type": "task"})
    assert answer.status_code == 201, answer.text


async def until_it_waits_or_ends(url: str, task: "asyncio.Task[Any]") -> None:
    """Until the task waits for a lock in the database, or did not have to."""
    async with await psycopg.AsyncConnection.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        while not task.done():
            (waiting,) = await (await connection.execute(_WAITS)).fetchone() or (0,)
            if waiting:
                return
            await asyncio.sleep(0.02)


async def test_an_agent_is_not_made_from_a_template_that_is_being_deleted(
    installation: Installation, postgres_url: str
) -> None:
    await made(installation, "leaving")
    owner, state = installation.owner, installation.state

    async with state.database.transaction(owner.id) as connection:
        await Templates(connection, owner.id, state.manifests).delete("leaving")
        body = {"name": "orphan", "model_id": "none", "template": "leaving"}
        making = asyncio.create_task(installation.http.post("/api/v1/agents", json=body))
        await until_it_waits_or_ends(postgres_url, making)
    answer = await making

    assert code(answer) == (422, "template_unknown")


async def test_a_template_is_not_deleted_that_an_agent_is_being_made_from(
    installation: Installation, postgres_url: str
) -> None:
    await made(installation, "staying")
    owner, state = installation.owner, installation.state
    deleting: asyncio.Task[httpx.Response]

    async with state.database.transaction(owner.id) as connection:
        body = CreateAgent.model_validate({"name": "child", "model_id": "none", "template": "staying"})
        await Agents(connection, owner.id, state.manifests).create(body)
        deleting = asyncio.create_task(installation.http.delete(f"{TEMPLATES}/staying"))
        await until_it_waits_or_ends(postgres_url, deleting)
    answer = await deleting

    assert code(answer) == (409, "template_in_use")


async def test_only_the_organizations_own_template_is_changed_without_row_security_too(
    installation: Installation, postgres_url: str
) -> None:
    other = await new_organization(postgres_url, "namesake")
    superuser = Database(create_engine(postgres_url, role=None, pool_size=1))
    manifests = installation.state.manifests

    async with superuser.transaction(None) as connection:
        ours, theirs = (Templates(connection, each.id, manifests) for each in (installation.owner, other))
        for templates in (ours, theirs):
            await templates.create(CreateTemplate(name="shared", type=AgentType.TASK, title="First"))
        changed = await ours.update("shared", UpdateTemplate(title="Second"))
        untouched = await theirs.get("shared")
        await ours.delete("shared")
        kept = await theirs.get("shared")
    await superuser.close()

    assert (changed.title, untouched.title, kept.title) == ("Second", "First", "First")
