"""Plain values of definitions: taken, and kept as secrets; what is kept of the definition refers to them."""

from typing import Any

import psycopg
import pytest

from control_plane.sealing import Keyring
from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation
from tests.control_plane.test_placement import announced
from tests.stack import SECRETS_KEY

CANARY = "canary-plain-91be"
AGENTS, TEMPLATES, SECRETS = "/api/v1/agents", "/api/v1/templates", "/api/v1/secrets"
SERVERS: dict[str, Any] = {
    "far": {"url": f"https://far.example/mcp?key={CANARY}", "headers": {"Authorization": f"Bearer {CANARY}"}},
    "near": {"command": ["server"], "env": {"TOKEN": CANARY, "EMPTY": "", "OWN": {"secret": "OWN"}}},
}
TOOLSETS = [{"type": "file_system"}, {"type": "mcp", "servers": SERVERS}]
AGENT = {"name": "secretive", "runtime": "scripted", "model_id": "none", "toolsets": TOOLSETS}


@pytest.fixture
async def keyed(installation: Installation) -> Installation:
    """An installation whose API has a key, and one secret."""
    installation.state.keyring = Keyring.read(SECRETS_KEY)
    await installation.http.put(f"{SECRETS}/OWN", json={"value": "x"})
    return installation


async def names(installation: Installation) -> list[str]:
    """The organization's moved secrets."""
    items = (await installation.http.get(SECRETS)).json()["items"]
    return [item["name"] for item in items if item["moved"]]


def given(url: str) -> str:
    """Everything that the database has, as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return str([connection.execute(f"SELECT * FROM {table}".encode()).fetchall() for (table,) in tables])


async def test_an_agent_is_made_and_refers_to_what_it_was_given(keyed: Installation, postgres_url: str) -> None:
    made = await keyed.http.post(AGENTS, json=AGENT)
    got = await keyed.http.get(f"{AGENTS}/secretive")

    assert made.status_code == 201
    assert CANARY not in made.text + got.text + given(postgres_url)
    servers = got.json()["toolsets"][1]["servers"]
    references = [servers["far"]["query"], servers["far"]["headers"]["Authorization"], servers["near"]["env"]["TOKEN"]]
    assert sorted(each["secret"] for each in references) == sorted(await names(keyed))
    assert references[1]["secret"].startswith("secretive.far.Authorization.")
    assert (servers["far"]["url"], servers["near"]["env"]["EMPTY"]) == ("https://far.example/mcp", "")
    assert servers["near"]["env"]["OWN"] == {"secret": "OWN"}
    (warning, *_) = made.json()["warnings"]
    assert warning["code"] == "secrets_moved"
    assert all(each["secret"] in warning["message"] for each in references)
    assert "secrets_moved" not in got.text


async def test_what_was_got_may_be_sent_back(keyed: Installation) -> None:
    made = (await keyed.http.post(AGENTS, json=AGENT)).json()
    before = await names(keyed)

    again = await keyed.http.patch(f"{AGENTS}/secretive", json={"toolsets": made["toolsets"]})

    assert again.json()["toolsets"] == made["toolsets"]
    assert "secrets_moved" not in again.text
    assert await names(keyed) == before


async def test_the_same_definition_makes_the_same_secrets(keyed: Installation) -> None:
    first = (await keyed.http.post(AGENTS, json=AGENT)).json()
    before = await names(keyed)

    second = (await keyed.http.patch(f"{AGENTS}/secretive", json={"toolsets": TOOLSETS})).json()

    assert second["toolsets"] == first["toolsets"]
    assert await names(keyed) == before


async def test_another_value_is_another_secret_so_that_running_executions_keep_theirs(keyed: Installation) -> None:
    first = (await keyed.http.post(AGENTS, json=AGENT)).json()
    servers = {"near": {"command": ["server"], "env": {"TOKEN": f"{CANARY}-2"}}}

    second = await keyed.http.patch(f"{AGENTS}/secretive", json={"toolsets": [{"type": "mcp", "servers": servers}]})

    old = first["toolsets"][1]["servers"]["near"]["env"]["TOKEN"]["secret"]
    new = second.json()["toolsets"][0]["servers"]["near"]["env"]["TOKEN"]["secret"]
    assert old != new
    assert {old, new} <= set(await names(keyed))


async def test_a_value_that_somebody_has_set_is_not_taken_for_the_one_that_is_sent(keyed: Installation) -> None:
    first = (await keyed.http.post(AGENTS, json=AGENT)).json()
    old = first["toolsets"][1]["servers"]["near"]["env"]["TOKEN"]["secret"]
    await keyed.http.put(f"{SECRETS}/{old}", json={"value": "rotated"})

    second = (await keyed.http.patch(f"{AGENTS}/secretive", json={"toolsets": TOOLSETS})).json()

    new = second["toolsets"][1]["servers"]["near"]["env"]["TOKEN"]["secret"]
    assert new != old
    assert (await keyed.http.get(f"{SECRETS}/{old}")).json()["version"] == 2


async def test_a_template_and_its_agents_refer_to_the_same_secrets(keyed: Installation, postgres_url: str) -> None:
    template = {"name": "own", "type": "task", "defaults": {"model_id": "none", "toolsets": TOOLSETS}}

    made = await keyed.http.post(TEMPLATES, json=template)
    changed = await keyed.http.patch(f"{TEMPLATES}/own", json={"defaults": template["defaults"]})
    agent = await keyed.http.post(AGENTS, json={"name": "from-own", "template": "own", "runtime": "scripted"})

    assert CANARY not in made.text + changed.text + agent.text + given(postgres_url)
    assert made.json()["warnings"][0]["code"] == changed.json()["warnings"][0]["code"] == "secrets_moved"
    assert made.json()["defaults"]["toolsets"] == changed.json()["defaults"]["toolsets"] == agent.json()["toolsets"]
    refused = await keyed.http.delete(f"{SECRETS}/{(await names(keyed))[0]}")
    assert code(refused) == (409, "secret_in_use")


async def test_without_a_key_plain_values_are_refused_and_nothing_is_kept(
    installation: Installation, postgres_url: str
) -> None:
    template = {"name": "own", "type": "task", "defaults": {"toolsets": TOOLSETS}}

    refused = [
        await installation.http.post(AGENTS, json=AGENT),
        await installation.http.patch(f"{AGENTS}/demo", json={"toolsets": TOOLSETS}),
        await installation.http.post(TEMPLATES, json=template),
    ]

    for answer in refused:
        assert code(answer) == (409, "secrets_key_missing")
        assert "HOLDFAST_SECRETS_KEY" in answer.json()["hint"]
        assert CANARY not in answer.text
    assert CANARY not in given(postgres_url)
    plain = [{"type": "mcp", "servers": {"far": {"url": "https://far.example/mcp"}}}]
    assert (await installation.http.post(AGENTS, json=AGENT | {"toolsets": plain})).status_code == 201


async def test_a_definition_that_is_refused_leaves_no_secret(keyed: Installation) -> None:
    taken = await keyed.http.post(AGENTS, json=AGENT | {"name": "demo"})

    assert code(taken) == (409, "name_conflict")
    assert await names(keyed) == []


async def test_a_definition_has_a_thousand_plain_values_at_most(keyed: Installation) -> None:
    env = {f"V{number}": "x" for number in range(100)}
    servers = {f"s{number}": {"command": ["server"], "env": env} for number in range(11)}

    refused = await keyed.http.post(AGENTS, json=AGENT | {"toolsets": [{"type": "mcp", "servers": servers}]})
    servers.pop("s10")
    taken = await keyed.http.post(AGENTS, json=AGENT | {"toolsets": [{"type": "mcp", "servers": servers}]})

    assert code(refused) == (422, "value_invalid")
    assert taken.status_code == 201
    assert "and 990 more" in taken.json()["warnings"][0]["message"]


async def test_a_reference_to_nothing_is_a_warning(keyed: Installation) -> None:
    servers = {"near": {"command": ["server"], "env": {"A": {"secret": "OWN"}, "B": {"secret": "NONE"}}}}

    made = await keyed.http.post(AGENTS, json=AGENT | {"toolsets": [{"type": "mcp", "servers": servers}]})
    got = (await keyed.http.get(f"{AGENTS}/secretive")).json()

    told = [warning["message"] for warning in got["warnings"] if warning["code"] == "secret_missing"]
    assert told == ["The organization has no secret 'NONE'; a worker may have one in its settings."]
    assert made.json()["warnings"] == got["warnings"]


@pytest.mark.parametrize(
    ("url", "query"), [("https://far.example/mcp?a=b", "c=d"), (f"https://user:{CANARY}@far.example/mcp", None)]
)
async def test_urls_hold_no_secrets_in_other_ways(keyed: Installation, url: str, query: str | None) -> None:
    server = {"url": url} | ({"query": query} if query else {})

    refused = await keyed.http.post(AGENTS, json=AGENT | {"toolsets": [{"type": "mcp", "servers": {"far": server}}]})

    assert refused.status_code == 422
    assert CANARY not in refused.text


async def test_settings_that_a_runtime_calls_secret_are_moved_and_given_to_its_worker(
    keyed: Installation, postgres_url: str
) -> None:
    settings = {"api_key": {"type": "string", "minLength": 5, "writeOnly": True}, "region": {"type": "string"}}
    await keyed.announce("orbit", runtimes=[announced("orbit", "1.0", ">=1", settings=settings)])
    body = {"name": "pilot", "runtime": "orbit", "model_id": "none"}
    given_settings = {"api_key": CANARY, "region": "eu-1"}

    short = {"api_key": CANARY[:4], "region": "eu-1"}
    refused = await keyed.http.post(AGENTS, json=body | {"configuration": {"runtime_config": short}})
    made = await keyed.http.post(AGENTS, json=body | {"configuration": {"runtime_config": given_settings}})
    again = await keyed.http.patch(f"{AGENTS}/pilot", json={"configuration": made.json()["configuration"]})
    turn = await keyed.turn(agent_id="pilot")
    path, org = f"{turn.path}/attempts/{turn.attempt}/secrets", {"organization_id": str(turn.owner.id)}
    secrets = await keyed.http.post(path, json=org, headers=turn.owner.auth("worker"))

    assert code(refused) == (422, "option_unsupported")
    assert CANARY[:4] not in refused.text
    kept = made.json()["configuration"]["runtime_config"]
    assert kept["api_key"]["secret"].startswith("pilot.runtime_config.api_key.")
    assert (kept["region"], again.json()["configuration"]) == ("eu-1", made.json()["configuration"])
    assert CANARY not in made.text + again.text + given(postgres_url)
    assert secrets.json()["values"] == {kept["api_key"]["secret"]: CANARY}
    assert code(await keyed.http.delete(f"{SECRETS}/{kept['api_key']['secret']}")) == (409, "secret_in_use")
