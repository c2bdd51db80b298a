"""Agents: made, found, changed one version at a time, deleted."""

from typing import Any

from tests.control_plane.api.organizations import UNKNOWN, code
from tests.stack import Stack

AGENTS = "/api/v1/agents"


async def test_a_new_agent_says_where_it_is_and_which_version(stack: Stack) -> None:
    body = {"name": "made", "model_id": "scripted/scripted", "configuration": {"temperature": 0.5}}

    answer = await stack.http.post(AGENTS, json=body)

    agent = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{AGENTS}/{agent['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (agent["runtime"], agent["template"], agent["version"], agent["toolsets"]) == (None, None, 1, [])
    assert agent["configuration"] == {"temperature": 0.5}
    assert agent["warnings"] == []


async def test_an_agent_is_found_by_id_and_by_name(stack: Stack) -> None:
    agent = await stack.agent("found")

    answers = [await stack.http.get(f"{AGENTS}/{wanted}") for wanted in (agent["id"], "found")]

    assert [answer.json() for answer in answers] == [agent, agent]


async def test_a_patch_changes_what_it_names_and_nothing_else(stack: Stack) -> None:
    agent = await stack.agent("patched", description="before", configuration={"temperature": 1, "seed": 5})

    answer = await stack.http.patch(f"{AGENTS}/patched", json={"runtime": "scripted", "configuration": {"seed": 6}})

    changed = answer.json()
    assert answer.headers["etag"] == '"2"'
    assert changed["updated_at"] > agent["updated_at"]
    expected = {"runtime": "scripted", "configuration": {"seed": 6}, "version": 2}
    assert changed == agent | expected | {"updated_at": changed["updated_at"]}


async def test_a_patch_of_nothing_makes_no_version(stack: Stack) -> None:
    agent = await stack.agent("unpatched")

    answer = await stack.http.patch(f"{AGENTS}/unpatched", json={})

    assert answer.json() == agent


async def test_a_patch_of_what_was_read_succeeds_once(stack: Stack) -> None:
    await stack.agent("locked")

    answers = [
        await stack.http.patch(f"{AGENTS}/locked", json={"description": text}, headers={"If-Match": '"1"'})
        for text in ("first", "second")
    ]

    assert answers[0].status_code == 200
    assert code(answers[1]) == (412, "version_conflict")
    assert answers[1].json()["current_version"] == 2
    assert (await stack.http.get(f"{AGENTS}/locked")).json()["description"] == "first"


async def test_any_tag_and_no_tag_match(stack: Stack) -> None:
    await stack.agent("starred")

    answer = await stack.http.patch(f"{AGENTS}/starred", json={"description": "x"}, headers={"If-Match": "*"})

    assert answer.status_code == 200


async def test_a_name_is_taken_once(stack: Stack) -> None:
    await stack.agent("taken")
    await stack.agent("renamed")

    again = await stack.http.post(AGENTS, json={"name": "taken", "model_id": "scripted/scripted"})
    renamed = await stack.http.patch(f"{AGENTS}/renamed", json={"name": "taken"})

    assert code(again) == code(renamed) == (409, "name_conflict")


async def test_an_execution_keeps_the_version_that_it_started_with(stack: Stack) -> None:
    await stack.agent("versioned", runtime="scripted", model_id="none")
    first = await stack.start("[[say one]]", "versioned")
    await stack.http.patch(f"{AGENTS}/versioned", json={"description": "new"})
    second = await stack.start("[[say two]]", "versioned")

    assert [(await stack.get(execution))["agent_version"] for execution in (first, second)] == [1, 2]


async def test_an_agent_with_a_running_execution_cannot_be_deleted(stack: Stack) -> None:
    await stack.agent("busy", runtime="scripted", model_id="none")
    execution = await stack.start("[[wait 60]]", "busy")

    refused = await stack.http.delete(f"{AGENTS}/busy")
    await stack.http.post(f"/api/v1/executions/{execution}/cancel")
    await stack.until_status(execution, "cancelled")
    deleted = await stack.http.delete(f"{AGENTS}/busy")

    assert code(refused) == (409, "agent_in_use")
    assert refused.json()["executions"] == 1
    assert deleted.status_code == 204
    assert code(await stack.http.get(f"{AGENTS}/busy")) == (404, "not_found")
    assert (await stack.get(execution))["agent_name"] == "busy"


async def test_an_unknown_agent_is_not_found(stack: Stack) -> None:
    answers = [await stack.http.get(f"{AGENTS}/{wanted}") for wanted in (UNKNOWN, "nobody")]

    assert [code(answer) for answer in answers] == [(404, "not_found")] * 2


async def test_agents_are_listed_page_by_page_and_by_runtime(stack: Stack) -> None:
    names = [(await stack.agent(f"listed-{number}", runtime="scripted"))["name"] for number in range(3)]

    pages = await all_pages(stack, AGENTS, runtime="scripted", limit=2)

    assert {len(page["items"]) for page in pages[:-1]} == {2}
    found = [agent for page in pages for agent in page["items"]]
    assert {agent["runtime"] for agent in found} == {"scripted"}
    assert [agent["name"] for agent in found if agent["name"] in names] == names[::-1]


async def test_a_model_that_nobody_serves_is_a_warning(stack: Stack) -> None:
    agent = await stack.agent("dreamer", model_id="nobody/knows-it")

    assert [warning["code"] for warning in agent["warnings"]] == ["model_unknown"]
    assert agent["warnings"][0]["hint"]


async def test_toolsets_come_back_as_they_were_given(stack: Stack) -> None:
    toolsets = [{"type": "file_system"}, {"type": "python", "functions": ["a.b:c"], "timeout_seconds": 5}]

    agent = await stack.agent("tooled", toolsets=toolsets)

    assert agent["toolsets"] == toolsets


async def all_pages(stack: Stack, path: str, **query: Any) -> list[dict[str, Any]]:
    """Every page of a list."""
    pages: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await stack.http.get(path, params=query | cursor)).json()
        pages.append(page)
        if page["next_cursor"] is None:
            return pages
        cursor = {"cursor": page["next_cursor"]}


async def test_deleting_asks_for_the_version_that_was_seen(stack: Stack) -> None:
    await stack.agent("deleted-late")
    await stack.http.patch(f"{AGENTS}/deleted-late", json={"description": "x"})

    stale = await stack.http.delete(f"{AGENTS}/deleted-late", headers={"If-Match": '"1"'})
    fresh = await stack.http.delete(f"{AGENTS}/deleted-late", headers={"If-Match": '"1", "2"'})

    assert code(stale) == (412, "version_conflict")
    assert fresh.status_code == 204
