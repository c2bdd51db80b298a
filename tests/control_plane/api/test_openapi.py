"""The OpenAPI document says all that there is, and nothing else happens."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema_rs
import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from control_plane import errors, secret_errors
from tests.control_plane.api.organizations import Organization, new_organization
from tests.control_plane.api.routes import routes
from tests.stack import Stack

#: schemathesis leaves the types of its checks open.
GENERAL: Any = checks
CONFORMANCE: Any = openapi_checks
CHECKS = [
    GENERAL.not_a_server_error,
    CONFORMANCE.status_code_conformance,
    CONFORMANCE.content_type_conformance,
    CONFORMANCE.response_schema_conformance,
]
NO_WAITING = {
    "/api/v1/executions/{execution_id}/events": {"follow": "false"},
    "/api/v1/executions/{execution_id}/result": {"wait": "0"},
}
UNDOCUMENTED = {"/openapi.json"}

#: Inputs for each operation.
EXAMPLES = 25
UNHURRIED = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

EXECUTIONS = "/api/v1/executions"


@dataclass(frozen=True)
class Fuzzed:
    """An organization that may be called with anything, and ids of what it has."""

    url: str
    owner: Organization
    ids: dict[str, str]


@pytest.fixture(scope="module")
async def fuzzed(stack: Stack) -> AsyncGenerator[Fuzzed]:
    """An organization of the test's own, with an agent, a key, and an execution that waits."""
    owner = await new_organization(stack.database_url, "fuzzed")
    async with httpx.AsyncClient(base_url=stack.api_url, headers=owner.auth(), trust_env=False) as client:
        agent = {"name": "demo", "runtime": "scripted", "model_id": "none"}
        key = {"name": "fuzzed", "scopes": ["read"]}
        body = {"agent_id": "demo", "prompt": "[[say x]]", "interactive": True}
        made = [await client.post(f"/api/v1/{path}", json=given) for path, given in (("agents", agent), ("keys", key))]
        execution = (await client.post(EXECUTIONS, json=body)).json()
        ids = {
            "agent": made[0].json()["id"],
            "template": "chat-assistant",
            "key_id": made[1].json()["id"],
            "execution_id": execution["id"],
            "session_id": execution["session_id"],
            "name": "default",
        }
        yield Fuzzed(stack.api_url, owner, ids)
        for status in ("waiting_for_session", "waiting_for_pool", "queued", "running", "waiting"):
            listed = (await client.get(EXECUTIONS, params={"status": status, "limit": 200})).json()
            for left in listed["items"]:
                await client.post(f"{EXECUTIONS}/{left['id']}/cancel")


def test_whatever_is_asked_the_answer_is_one_of_the_documented(app: FastAPI, fuzzed: Fuzzed) -> None:
    schema: Any = schemathesis.openapi.from_dict(app.openapi())
    schema.config.update(base_url=fuzzed.url)
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(fuzzed.owner.auth())

        for operation in schema.get_all_operations():
            ask_anything(operation.ok(), fuzzed, session)


def ask_anything(operation: Any, fuzzed: Fuzzed, session: requests.Session) -> None:
    """Call an operation with good and bad input, on what exists and on what does not."""
    good = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    bad = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=UNHURRIED)
    @given(case=good | bad)
    def ask(case: Any) -> None:
        for ids in ({}, fuzzed.ids):
            bound(case, ids)
            case.call_and_validate(session=session, checks=CHECKS, timeout=20)

    ask()


def bound(case: Any, ids: dict[str, str]) -> None:
    """Take the ids of what exists, and do not wait for what is still to come."""
    path: dict[str, Any] = case.path_parameters or {}
    query: dict[str, Any] = case.query or {}
    case.path_parameters = {name: ids.get(name, value) for name, value in path.items()} or None
    case.query = query | NO_WAITING.get(case.path, {})
    if ids and names_an_agent(case.body):
        case.body = {**case.body, "agent_id": "demo"}


def names_an_agent(body: object) -> bool:
    """Whether it is an object with the name of an agent in it."""
    return isinstance(body, dict) and "agent_id" in body


def test_every_route_but_the_workers_is_in_the_document(app: FastAPI) -> None:
    document = app.openapi()

    documented = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    served = {(route.method, route.path) for route in routes(app) if route.path not in UNDOCUMENTED}
    assert {pair for pair in served if not pair[1].startswith("/internal")} == documented


def test_every_operation_has_a_name_and_says_what_it_does(app: FastAPI) -> None:
    document = app.openapi()

    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["operationId"], path
            assert operation["summary"], path
            assert operation["description"], path


def test_every_body_has_an_example_that_is_one(app: FastAPI) -> None:
    document = app.openapi()
    schemas = document["components"]["schemas"]
    names = {name for methods in document["paths"].values() for each in methods.values() for name in bodies(each)}

    assert {name for name in names if not schemas[name].get("examples")} == set()
    for name in names:
        validator = jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", **document})
        for example in schemas[name]["examples"]:
            validator.validate(example)


def test_every_problem_in_the_document_is_one_of_ours(app: FastAPI) -> None:
    kinds = [*vars(errors).values(), *vars(secret_errors).values()]
    statuses = {kind.code: kind.status for kind in kinds if is_error(kind)}

    for path, methods in app.openapi()["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                problem = response.get("content", {}).get("application/problem+json")
                for code in problem["examples"] if problem else ():
                    assert statuses[code] == int(status), (path, code)


def test_the_framework_adds_no_errors_of_its_own(app: FastAPI) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & app.openapi()["components"]["schemas"].keys()


def bodies(operation: dict[str, Any]) -> Iterator[str]:
    """The schemas of what an operation takes and gives as JSON."""
    given = [response for status, response in operation["responses"].items() if status < "300"]
    for body in [operation.get("requestBody", {}), *given]:
        if schema := body.get("content", {}).get("application/json", {}).get("schema"):
            yield schema["$ref"].rpartition("/")[2]


def is_error(value: object) -> bool:
    """Whether it is an error of the API."""
    return isinstance(value, type) and issubclass(value, errors.HoldfastError)
