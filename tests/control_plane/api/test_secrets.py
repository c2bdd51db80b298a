"""Secrets: stored, named, never shown; for the attempt that holds the turn, and for no other."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from control_plane.sealing import Keyring, Place
from services.control_plane_client.models import AttemptEnd
from tests.control_plane.api.organizations import Organization, code, new_organization
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Turn
from tests.stack import SECRETS_KEY, Stack, free_port

CANARY = "canary-value-2d81"
SECRETS = "/api/v1/secrets"


@pytest.fixture
async def mine(stack: Stack) -> AsyncGenerator[tuple[httpx.AsyncClient, Organization]]:
    """An organization of the test's own."""
    owner = await new_organization(stack.database_url, f"secrets-{uuid4()}")
    async with httpx.AsyncClient(base_url=stack.api_url, headers=owner.auth(), trust_env=False) as client:
        yield client, owner


Mine = tuple[httpx.AsyncClient, Organization]


async def test_a_secret_is_stored_and_never_shown(stack: Stack, mine: Mine) -> None:
    client, owner = mine

    first = await client.put(f"{SECRETS}/TOKEN", json={"value": CANARY})
    second = await client.put(f"{SECRETS}/TOKEN", json={"value": f"{CANARY}-2"})
    got, listed = await client.get(f"{SECRETS}/TOKEN"), await client.get(SECRETS)

    assert [answer.status_code for answer in (first, second, got, listed)] == [200] * 4
    assert (first.json()["version"], second.json()["version"]) == (1, 2)
    assert second.json()["created_at"] < second.json()["updated_at"]
    assert listed.json()["items"] == [got.json()]
    assert second.json() == got.json() | {"warnings": []}
    assert CANARY not in first.text + second.text + got.text + listed.text
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        query = "SELECT secrets::text, encode(value, 'escape') FROM secrets WHERE organization_id = %s"
        rows = await (await connection.execute(query, (owner.id,))).fetchall()
    assert len(rows) == 1
    assert CANARY not in str(rows)


async def test_an_api_that_lacks_the_keys_of_sealed_secrets_says_so_at_its_start(stack: Stack, mine: Mine) -> None:
    client, _ = mine
    await client.put(f"{SECRETS}/TOKEN", json={"value": CANARY})
    key_id = Keyring.read(SECRETS_KEY).seal(Place(uuid4(), "x", 1), "x").key_id
    other = {"HOLDFAST_SECRETS_KEY": b64encode(bytes([7] * 32)).decode()}

    for name, keys in (("other-key", other), ("no-key", {"HOLDFAST_SECRETS_KEY": ""})):
        api = stack.add(name, "api", environment=stack.api_environment(free_port()) | keys)
        api.start()

        async def warned(log: Path = api.log) -> bool:
            return any("their keys are not there" in line and key_id in line for line in log.read_text().splitlines())

        try:
            await stack.until(warned)
        finally:
            await asyncio.to_thread(api.stop)
            del stack.processes[name]

    assert "their keys are not there" not in stack.processes["api"].log.read_text()


@pytest.mark.parametrize("value", [f"{CANARY}\n", "line\nline", "\u20ac", " x"])
async def test_a_value_that_no_header_can_hold_is_stored_with_a_warning(mine: Mine, value: str) -> None:
    client, _ = mine

    stored = await client.put(f"{SECRETS}/TOKEN", json={"value": value})

    assert [warning["code"] for warning in stored.json()["warnings"]] == ["secret_unfit_for_headers"]
    assert CANARY not in stored.text


@pytest.mark.parametrize("value", ["", "x" * 100_001])
async def test_a_value_without_a_length_that_can_be_is_refused_in_plain_words(mine: Mine, value: str) -> None:
    client, _ = mine

    refused = await client.put(f"{SECRETS}/TOKEN", json={"value": value})

    assert code(refused) == (422, "value_invalid")
    assert refused.json()["detail"] == "'value': The value of a secret has 1 to 100000 characters."


async def test_secrets_are_listed_page_by_page_and_deleted_once(mine: Mine) -> None:
    client, _ = mine
    for name in ("b", "a", "c"):
        await client.put(f"{SECRETS}/{name}", json={"value": "x"})

    page = (await client.get(SECRETS, params={"limit": 2})).json()
    rest = (await client.get(SECRETS, params={"cursor": page["next_cursor"]})).json()
    deleted = [await client.delete(f"{SECRETS}/a") for _ in range(2)]

    assert [one["name"] for one in page["items"] + rest["items"]] == ["a", "b", "c"]
    assert deleted[0].status_code == 204
    assert code(deleted[1]) == (404, "not_found")
    assert code(await client.get(f"{SECRETS}/a")) == (404, "not_found")


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("-x", {"value": CANARY}, (422, "value_invalid")),
        ("x" * 201, {"value": CANARY}, (422, "value_invalid")),
        ("x%20y", {"value": CANARY}, (422, "value_invalid")),
        ("x", {"value": ""}, (422, "value_invalid")),
        ("x", {"value": CANARY * 10_000}, (422, "value_invalid")),
        ("x", {"value": [CANARY]}, (422, "type_error")),
        ("x", {"values": CANARY}, (422, "field_unknown")),
        ("x", {"value": f"{CANARY}\0"}, (422, "text_nul")),
    ],
)
async def test_what_cannot_be_a_secret_is_refused_and_not_repeated(
    mine: Mine, name: str, body: Mapping[str, Any], expected: tuple[int, str]
) -> None:
    answer = await mine[0].put(f"{SECRETS}/{name}", json=body)

    assert code(answer) == expected
    assert CANARY not in answer.text


async def test_a_secret_of_the_same_name_is_each_organizations_own(
    stack: Stack, nobody: httpx.AsyncClient, mine: Mine, theirs: Organization
) -> None:
    await mine[0].put(f"{SECRETS}/SHARED", json={"value": CANARY})

    unknown = await nobody.get(f"{SECRETS}/SHARED", headers=theirs.auth())
    made = await nobody.put(f"{SECRETS}/SHARED", json={"value": "theirs"}, headers=theirs.auth())
    await nobody.delete(f"{SECRETS}/SHARED", headers=theirs.auth())

    assert (unknown.status_code, made.json()["version"]) == (404, 1)
    assert (await mine[0].get(f"{SECRETS}/SHARED")).json()["version"] == 1


def agent_with(*names: str, name: str = "secretive") -> dict[str, Any]:
    headers = {f"X-{each}": {"secret": each} for each in names}
    servers = {"far": {"url": "https://far.example/mcp", "headers": headers}}
    toolsets = [{"type": "mcp", "servers": servers}]
    return {"name": name, "runtime": "scripted", "model_id": "none", "toolsets": toolsets}


async def test_references_come_back_as_they_were_given(mine: Mine) -> None:
    body = agent_with("TOKEN")

    made = (await mine[0].post("/api/v1/agents", json=body)).json()
    again = await mine[0].patch("/api/v1/agents/secretive", json={"toolsets": made["toolsets"]})

    assert made["toolsets"] == again.json()["toolsets"] == body["toolsets"]


async def test_what_is_referred_to_is_not_deleted(mine: Mine) -> None:
    client, _ = mine
    await client.put(f"{SECRETS}/TOKEN", json={"value": CANARY})
    await client.post("/api/v1/agents", json=agent_with("TOKEN"))
    template = {"name": "own", "type": "task", "defaults": {"toolsets": agent_with("TOKEN")["toolsets"]}}
    await client.post("/api/v1/templates", json=template)

    refused = await client.delete(f"{SECRETS}/TOKEN")
    await client.delete("/api/v1/agents/secretive")
    await client.delete("/api/v1/templates/own")
    deleted = await client.delete(f"{SECRETS}/TOKEN")

    assert code(refused) == (409, "secret_in_use")
    assert refused.json()["used_by"] == ["agent secretive", "template own"]
    assert deleted.status_code == 204


async def test_without_a_key_nothing_is_stored_and_the_rest_is_well(installation: Installation) -> None:
    refused = await installation.http.put(f"{SECRETS}/TOKEN", json={"value": CANARY})
    listed = await installation.http.get(SECRETS)

    assert code(refused) == (409, "secrets_key_missing")
    assert "HOLDFAST_SECRETS_KEY" in refused.json()["hint"]
    assert listed.json()["items"] == []
    assert (await installation.http.get("/api/v1/agents")).status_code == 200


async def given_to(turn: Turn, attempt: int | None = None) -> httpx.Response:
    """Give the secrets that the worker of an attempt is given."""
    path = f"{turn.path}/attempts/{attempt or turn.attempt}/secrets"
    body = {"organization_id": str(turn.owner.id)}
    return await turn.http.post(path, json=body, headers=turn.owner.auth("worker"))


@pytest.fixture
async def secretive(installation: Installation) -> Installation:
    """An installation with an agent that refers to two of three secrets, one of which there is."""
    installation.state.keyring = Keyring.read(SECRETS_KEY)
    for name in ("MINE", "OTHERS"):
        await installation.http.put(f"{SECRETS}/{name}", json={"value": f"{CANARY}-{name}"})
    await installation.http.post("/api/v1/agents", json=agent_with("MINE", "MISSING"))
    return installation


async def test_an_attempt_gets_what_its_agent_refers_to_and_nothing_else(secretive: Installation) -> None:
    turn = await secretive.turn(agent_id="secretive")
    await secretive.http.patch("/api/v1/agents/secretive", json={"toolsets": agent_with("OTHERS")["toolsets"]})

    given = await given_to(turn)

    assert given.json() == {"values": {"MINE": f"{CANARY}-MINE"}, "broken": {}, "is_own": True}


async def test_a_fenced_attempt_gets_nothing(secretive: Installation) -> None:
    turn = await secretive.turn(agent_id="secretive")

    other = await given_to(turn, attempt=2)
    await turn.close(AttemptEnd.COMPLETED)
    after = await given_to(turn)

    for answer in (other, after):
        assert code(answer) == (409, "attempt_fenced")
        assert CANARY not in answer.text


async def test_another_key_opens_nothing_and_says_so(secretive: Installation) -> None:
    turn = await secretive.turn(agent_id="secretive")
    secretive.state.keyring = Keyring([bytes(range(32))])
    other = (await given_to(turn)).json()
    secretive.state.keyring = None

    none = (await given_to(turn)).json()

    assert other["values"] == none["values"] == {}
    assert "which HOLDFAST_SECRETS_KEY does not hold" in other["broken"]["MINE"]
    assert "its operator sets HOLDFAST_SECRETS_KEY" in none["broken"]["MINE"]


async def test_a_row_that_was_put_in_anothers_place_opens_nothing(secretive: Installation, postgres_url: str) -> None:
    turn = await secretive.turn(agent_id="secretive")
    swap = """
        UPDATE secrets SET wrapped_key = other.wrapped_key, value = other.value
        FROM secrets AS other WHERE secrets.name = 'MINE' AND other.name = 'OTHERS'
    """
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        await connection.execute(swap)

    given = await given_to(turn)

    assert given.json()["values"] == {}
    assert "belongs to another place" in given.json()["broken"]["MINE"]
    assert CANARY not in given.text
