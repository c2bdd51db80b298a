"""Who may do what: nothing without a key, nothing without the scope."""

import httpx
import pytest
from fastapi import FastAPI

from db.enums import Scope
from tests.control_plane.api.organizations import Organization, code
from tests.control_plane.api.routes import Route, routes

OPEN = {"is_live", "is_ready", "metrics_page", "openapi", "prove_identity"}

SCOPES = {
    Scope.READ: {
        "list_agents",
        "get_agent",
        "list_executions",
        "get_execution",
        "get_result",
        "stream_events",
        "list_sessions",
        "get_session",
        "list_messages",
        "list_runtimes",
        "get_runtime",
        "list_worker_pools",
        "get_worker_pool",
        "resolve_runtime",
        "list_templates",
        "get_template",
        "runtimes_health",
        "models_health",
        "list_approvals",
        "list_execution_approvals",
        "get_approval",
        "list_steps",
        "get_step",
        "get_execution_metrics",
        "list_secrets",
        "get_secret",
    },
    Scope.WRITE: {
        "create_agent",
        "update_agent",
        "delete_agent",
        "create_execution",
        "cancel_execution",
        "interrupt_execution",
        "close_execution",
        "send_message",
        "delete_session",
        "create_template",
        "update_template",
        "delete_template",
        "approve",
        "deny",
        "set_secret",
        "delete_secret",
    },
    Scope.ADMIN: {"create_key", "list_keys", "revoke_key", "drain_worker_pool"},
    Scope.WORKER: {
        "admit_execution",
        "finish_execution",
        "open_attempt",
        "append_events",
        "close_attempt",
        "announce_worker",
        "control_stream",
        "decide_approval",
        "start_child",
        "place_execution",
        "get_blob",
        "put_blob",
        "get_entries",
        "append_entries",
        "get_cached",
        "put_cached",
        "put_offered",
        "reserve_call",
        "settle_call",
        "give_secrets",
    },
}
IMPLIED_BY_ADMIN = {Scope.READ, Scope.WRITE}


@pytest.fixture
def guarded(app: FastAPI) -> list[Route]:
    """The routes that need a key."""
    return [route for route in routes(app) if route.name not in OPEN]


async def ask(client: httpx.AsyncClient, route: Route, headers: dict[str, str] | None = None) -> httpx.Response:
    """Call a route with unknown ids and an empty object."""
    body: dict[str, str] | None = {} if route.method in {"POST", "PATCH"} else None
    return await client.request(route.method, route.url(), json=body, headers=headers)


def scope_of(route: Route) -> Scope:
    """The scope that opens it."""
    return next(scope for scope, names in SCOPES.items() if route.name in names)


async def test_every_route_is_known_to_the_tests_of_scopes(app: FastAPI) -> None:
    named = set[str]().union(OPEN, *SCOPES.values())

    assert {route.name for route in routes(app)} == named


async def test_every_guarded_route_wants_a_key(nobody: httpx.AsyncClient, guarded: list[Route]) -> None:
    for route in guarded:
        answer = await ask(nobody, route)

        assert code(answer) == (401, "auth_missing"), route
        assert answer.headers["www-authenticate"].startswith("Bearer"), route


async def test_every_guarded_route_wants_its_scope(
    nobody: httpx.AsyncClient, theirs: Organization, guarded: list[Route]
) -> None:
    for route in guarded:
        wanted = scope_of(route)
        implied = {Scope.ADMIN} if wanted in IMPLIED_BY_ADMIN else set[Scope]()
        for scope in set(Scope) - {wanted} - implied:
            answer = await ask(nobody, route, theirs.auth(scope))

            assert code(answer) == (403, "scope_missing"), (route, scope)
            assert answer.json()["scope"] == wanted


async def test_every_guarded_route_opens_with_its_scope(
    nobody: httpx.AsyncClient, theirs: Organization, guarded: list[Route]
) -> None:
    for route in guarded:
        answer = await ask(nobody, route, theirs.auth(scope_of(route)))

        assert answer.status_code not in {401, 403}, route
        assert answer.status_code < 500, route


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", "auth_missing"),
        ("Bearer", "auth_missing"),
        ("Basic aGY6aGY=", "auth_missing"),
        ("Bearer no-key", "key_invalid"),
        ("Bearer hf_" + "a" * 43, "key_invalid"),
        ("Bearer hf_" + "a" * 10_000, "key_invalid"),
        ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.", "key_invalid"),
    ],
)
async def test_what_is_no_key_opens_nothing(nobody: httpx.AsyncClient, header: str, expected: str) -> None:
    answer = await nobody.get("/api/v1/agents", headers={"Authorization": header})

    assert code(answer) == (401, expected)


@pytest.mark.parametrize("kind", ["expired", "revoked"])
async def test_a_key_that_is_over_says_why(nobody: httpx.AsyncClient, ours: Organization, kind: str) -> None:
    answer = await nobody.get("/api/v1/agents", headers=ours.auth(kind))

    assert code(answer) == (401, f"key_{kind}")


async def test_a_key_may_come_in_a_header_of_its_own(nobody: httpx.AsyncClient, ours: Organization) -> None:
    answer = await nobody.get("/api/v1/agents", headers={"X-API-Key": ours.keys["read"]})

    assert answer.status_code == 200


async def test_probes_need_no_key(nobody: httpx.AsyncClient) -> None:
    answers = [await nobody.get(path) for path in ("/health/live", "/health/ready", "/openapi.json")]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
