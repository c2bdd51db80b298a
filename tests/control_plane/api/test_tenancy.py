"""What one organization has does not exist for another, whichever route it asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tests.control_plane.api.organizations import UNKNOWN, Organization, code
from tests.control_plane.api.routes import Route, routes
from tests.stack import Stack

CANARY = "canary-f3b1"

ASK = """
    INSERT INTO approvals (id, organization_id, execution_id, turn, kind, key, digest, name, expires_at)
    SELECT gen_random_uuid(), organization_id, id, 1, 'tool_call', %(name)s, %(name)s, %(name)s, now() + '1 day'
    FROM executions WHERE id = %(id)s RETURNING id
"""

BODIES: dict[str, dict[str, Any]] = {
    "update_agent": {"description": "x"},
    "update_template": {"description": "x"},
    "send_message": {"content": "x"},
    "finish_execution": {"end": "failed"},
    "place_execution": {},
    "open_attempt": {"turn": 2, "dispatch": 1, "try_number": 1, "token": "t", "worker_id": "w"},
    "append_events": {"batch": 1, "events": [{"type": "usage", "data": {}}]},
    "close_attempt": {"batch": 1, "end": "completed"},
    "decide_approval": {"decision": {"approval_id": UNKNOWN, "approve": True}},
    "append_entries": {"name": "n", "position": 0, "entries": [{}]},
    "start_child": {"key": "k", "agent": CANARY, "prompt": "x"},
    "put_cached": {"response": {}, "ttl_seconds": 1},
    "reserve_call": {"id": UNKNOWN, "model_calls": [1, 1]},
    "settle_call": {"id": UNKNOWN, "usage": {}},
    "give_secrets": {},
    "approve": {},
    "deny": {},
}
#: Of workers, whose body says which organization they work for.
WORKER_ROUTES = {
    "finish_execution",
    "place_execution",
    "open_attempt",
    "append_events",
    "close_attempt",
    "decide_approval",
    "start_child",
    "append_entries",
    "put_cached",
    "reserve_call",
    "settle_call",
    "give_secrets",
}
#: Of workers, which are told that there is nothing, or that they do not hold the turn.
WITHOUT_404 = {
    "get_entries": 200,
    "get_cached": 200,
    "put_blob": 204,
    "put_cached": 204,
    "settle_call": 204,
    "append_entries": 409,
    "put_offered": 409,
    "reserve_call": 409,
}
#: Everybody's; and what makes something of the caller's own under any name.
SHARED = {"get_runtime", "set_secret"}


@dataclass(frozen=True)
class Belongings:
    """What our organization has; each full of canaries."""

    ids: dict[str, str]
    waiting: str

    def asked_by(self, route: Route) -> dict[str, str]:
        """The ids that a route has in its path."""
        return {name: self.ids[name] for name in route.parameters if name in self.ids}


@pytest.fixture(scope="module")
async def belongings(stack: Stack) -> Belongings:
    """An agent, a running execution, its session, its worker, a key."""
    agent = await stack.agent(CANARY, runtime="scripted", model_id="none", system_prompt=CANARY, description=CANARY)
    prompt, metadata = f"[[say {CANARY}]]", {CANARY: CANARY}
    execution = await stack.start(prompt, CANARY, interactive=True, metadata=metadata)
    await stack.until_status(execution, "waiting")
    await stack.result(await stack.start(prompt, CANARY))
    template = {"name": CANARY, "type": "task", "description": CANARY, "defaults": {"system_prompt": CANARY}}
    await stack.http.post("/api/v1/templates", json=template)
    key = await stack.http.post("/api/v1/keys", json={"name": CANARY, "scopes": ["read"]})
    await stack.http.put(f"/api/v1/secrets/{CANARY}", json={"value": CANARY})
    started = next(event for event in await stack.log(execution) if event["type"] == "attempt.started")
    ids = {
        "agent": agent["id"],
        "template": CANARY,
        "secret": CANARY,
        "execution_id": execution,
        "session_id": (await stack.get(execution))["session_id"],
        "key_id": key.json()["id"],
        "worker_id": started["data"]["worker_id"],
        "approval_id": await new_approval(stack, execution),
    }
    return Belongings(ids, execution)


async def new_approval(stack: Stack, execution: str) -> str:
    """A decision that the execution's turn asked for."""
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        row = await (await connection.execute(ASK, {"id": execution, "name": CANARY})).fetchone()
    assert row is not None
    return str(row[0])


def with_ids(app: FastAPI) -> Iterator[Route]:
    """The routes that have an id in their path."""
    for route in routes(app):
        if route.parameters and route.name not in SHARED:
            yield route


async def ask(client: httpx.AsyncClient, caller: Organization, route: Route, ids: dict[str, str]) -> httpx.Response:
    """Call a route with ids in its path, and with a body that it would take."""
    worker = route.path.startswith("/internal")
    body = BODIES.get(route.name)
    if route.name in WORKER_ROUTES:
        body = {**(body or {}), "organization_id": str(caller.id)}
    headers = caller.auth("worker" if worker else "people")
    params = {"organization": str(caller.id)} if worker else None
    return await client.request(route.method, route.url(**ids), json=body, params=params, headers=headers)


def without_ids(answer: httpx.Response, ids: dict[str, str]) -> dict[str, Any]:
    """The body, less what differs between any two requests."""
    text = answer.text
    for known in ids.values():
        text = text.replace(known, UNKNOWN)
    if not answer.is_error:
        return {"text": text}
    body = httpx.Response(200, text=text).json()
    del body["request_id"]
    return body


async def test_foreign_ids_are_unknown_ids(
    app: FastAPI, nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings
) -> None:
    for route in with_ids(app):
        ids = belongings.asked_by(route)

        foreign = await ask(nobody, theirs, route, ids)
        unknown = await ask(nobody, theirs, route, {})

        assert foreign.status_code == WITHOUT_404.get(route.name, 404), (route, foreign.text)
        assert without_ids(foreign, ids) == without_ids(unknown, ids), route
        assert CANARY not in foreign.text, route


async def test_nothing_foreign_was_touched(stack: Stack, belongings: Belongings, ours: Organization) -> None:
    execution = await stack.get(belongings.waiting)

    agent = (await stack.http.get(f"/api/v1/agents/{CANARY}")).json()
    keys = (await stack.http.get("/api/v1/keys", params={"limit": 200})).json()["items"]
    approvals = (await stack.http.get("/api/v1/approvals", params={"limit": 200})).json()["items"]

    assert execution["status"] == "waiting"
    assert execution["last_seq"] == len(await stack.log(belongings.waiting))
    assert (agent["version"], agent["description"]) == (1, CANARY)
    assert [one["status"] for one in approvals if one["name"] == CANARY] == ["pending"]
    assert [key["revoked_at"] for key in keys if key["name"] == CANARY] == [None]


async def test_workers_of_others_cannot_name_our_organization(
    app: FastAPI, nobody: httpx.AsyncClient, theirs: Organization, ours: Organization, belongings: Belongings
) -> None:
    for route in [route for route in with_ids(app) if route.name in WORKER_ROUTES]:
        body = BODIES[route.name] | {"organization_id": str(ours.id)}
        url = route.url(**belongings.asked_by(route))

        answer = await nobody.request(route.method, url, json=body, headers=theirs.auth("worker"))

        assert code(answer) == (404, "not_found"), route


ADMISSION = {
    "execution_id": UNKNOWN,
    "workflow_id": "taken",
    "first_run_id": "taken",
    "input": {"agent_id": "theirs", "prompt": "x"},
}


async def test_workers_of_others_admit_nothing(nobody: httpx.AsyncClient, theirs: Organization) -> None:
    answer = await nobody.post("/internal/v1/executions", json=ADMISSION, headers=theirs.auth("worker"))

    assert code(answer) == (403, "operator_only")


@pytest.mark.parametrize(("name", "status"), [("execution_id", 409), ("session_id", 404), ("agent_id", 404)])
async def test_what_is_admitted_for_others_cannot_name_what_is_ours(
    stack: Stack, nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings, name: str, status: int
) -> None:
    await nobody.post("/api/v1/agents", json={"name": "theirs", "model_id": "none"}, headers=theirs.auth())
    ours = {**belongings.ids, "agent_id": belongings.ids["agent"]}
    wanted = {"agent_id": "theirs", "prompt": "x", "organization_id": str(theirs.id), name: ours[name]}
    body = ADMISSION | {"execution_id": str(uuid4()), "input": wanted}
    headers = {"Authorization": f"Bearer {stack.worker_key}"}

    answer = await nobody.post("/internal/v1/executions", json=body, headers=headers)

    assert answer.status_code == status, answer.text
    assert CANARY not in answer.text


async def test_a_foreign_worker_cannot_be_announced(
    nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings
) -> None:
    body = {
        "worker_id": belongings.ids["worker_id"],
        "pool": "taken",
        "task_queue": "taken",
        "kind": "runtime",
        "host": "h",
        "pid": 1,
        "version": "0",
        "slots": 1,
        "running": 0,
    }

    answer = await nobody.post("/internal/v1/workers", json=body, headers=theirs.auth("worker"))

    assert code(answer) == (404, "not_found")


@pytest.mark.parametrize(
    "body", [{"agent_id": "agent"}, {"agent_id": CANARY}, {"agent_id": "theirs", "session_id": "session_id"}]
)
async def test_an_execution_cannot_name_what_is_foreign(
    nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings, body: dict[str, str]
) -> None:
    await nobody.post("/api/v1/agents", json={"name": "theirs", "model_id": "none"}, headers=theirs.auth())
    given = {name: belongings.ids.get(value, value) for name, value in body.items()}

    answer = await nobody.post("/api/v1/executions", json=given | {"prompt": "x"}, headers=theirs.auth())

    assert answer.status_code == 404


async def test_lists_hold_nothing_foreign(
    app: FastAPI, nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings
) -> None:
    filters = [{}, {"agent_id": belongings.ids["agent"]}, {"session_id": belongings.ids["session_id"]}]
    for route in [route for route in routes(app) if route.method == "GET" and not route.parameters]:
        for query in filters:
            answer = await nobody.get(route.path, params=query, headers=theirs.auth())

            assert answer.status_code in {200, 422}, route
            assert CANARY not in answer.text, route


@pytest.mark.parametrize("path", ["agents", "templates", "executions", "sessions", "keys"])
async def test_a_foreign_cursor_is_refused(
    stack: Stack, nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings, path: str
) -> None:
    page = (await stack.http.get(f"/api/v1/{path}", params={"limit": 1})).json()

    answer = await nobody.get(f"/api/v1/{path}", params={"cursor": page["next_cursor"]}, headers=theirs.auth())

    assert code(answer) == (400, "cursor_invalid")


async def test_names_and_idempotency_keys_are_each_organizations_own(
    stack: Stack, nobody: httpx.AsyncClient, theirs: Organization, belongings: Belongings
) -> None:
    agent = {"name": CANARY, "runtime": "scripted", "model_id": "none"}
    headers = {"Idempotency-Key": CANARY}
    body = {"agent_id": CANARY, "prompt": "[[say x]]"}

    made = await nobody.post("/api/v1/agents", json=agent, headers=theirs.auth())
    mine = await stack.http.post("/api/v1/executions", json=body, headers=headers)
    same_key = await nobody.post("/api/v1/executions", json=body, headers=headers | theirs.auth())

    assert made.status_code == 201
    assert (mine.status_code, same_key.status_code) == (201, 201)
    assert mine.json()["id"] != same_key.json()["id"]
    await nobody.delete(f"/api/v1/agents/{CANARY}", headers=theirs.auth())


async def test_the_operators_workers_serve_everybody(
    nobody: httpx.AsyncClient, theirs: Organization, stack: Stack
) -> None:
    agent = {"name": "served", "runtime": "scripted", "model_id": "none"}
    await nobody.post("/api/v1/agents", json=agent, headers=theirs.auth())
    body = {"agent_id": "served", "prompt": "[[say served]]"}
    started = (await nobody.post("/api/v1/executions", json=body, headers=theirs.auth())).json()

    result = await nobody.get(f"/api/v1/executions/{started['id']}/result", params={"wait": 30}, headers=theirs.auth())

    assert result.json()["response"] == "served"
    assert (await stack.http.get(f"/api/v1/executions/{started['id']}")).status_code == 404
