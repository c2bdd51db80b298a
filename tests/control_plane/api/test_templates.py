"""Templates: the built-in ones and an organization's own, and the agents that are made from them."""

from typing import Any

import httpx
import pytest

from runtimes.templates import BUILT_IN
from tests.control_plane.api.organizations import Organization, code
from tests.control_plane.api.test_agents import all_pages
from tests.stack import Stack

TEMPLATES = "/api/v1/templates"
AGENTS = "/api/v1/agents"

NAMES = [
    "chat-assistant",
    "custom-code-agent",
    "customer-service-bot",
    "generic-conversation",
    "generic-custom",
    "generic-task",
    "task-execution-bot",
    "workflow-agent",
]


async def template(stack: Stack, name: str, **body: Any) -> dict[str, Any]:
    """Make a template."""
    answer = await stack.http.post(TEMPLATES, json={"name": name, "type": "task"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_every_organization_has_the_built_in_ones(
    stack: Stack, nobody: httpx.AsyncClient, theirs: Organization
) -> None:
    ours = (await stack.http.get(TEMPLATES, params={"limit": 200})).json()["items"]
    others = (await nobody.get(TEMPLATES, headers=theirs.auth(), params={"limit": 200})).json()["items"]

    assert sorted(BUILT_IN) == NAMES
    for listed in (ours, others):
        assert [each["name"] for each in listed if each["built_in"]] == NAMES
    one = (await nobody.get(f"{TEMPLATES}/workflow-agent", headers=theirs.auth())).json()
    assert (one["type"], one["required_capabilities"], one["created_at"]) == ("task", ["multi_agent"], None)


async def test_a_built_in_one_is_neither_changed_nor_deleted_nor_replaced(stack: Stack) -> None:
    answers = [
        await stack.http.patch(f"{TEMPLATES}/chat-assistant", json={"title": "Mine"}),
        await stack.http.delete(f"{TEMPLATES}/chat-assistant"),
        await stack.http.post(TEMPLATES, json={"name": "chat-assistant", "type": "task"}),
    ]

    assert [code(answer) for answer in answers] == [
        (409, "template_built_in"),
        (409, "template_built_in"),
        (409, "name_conflict"),
    ]
    assert answers[0].json()["hint"] == "Make a template of your own, under another name."


async def test_a_template_is_made_shown_changed_and_deleted(stack: Stack) -> None:
    body = {"title": "Orders", "preferred_runtimes": ["scripted"], "required_capabilities": ["tools"]}
    made = await template(stack, "tpl-orders", **body)

    shown = (await stack.http.get(f"{TEMPLATES}/tpl-orders")).json()
    changed = await stack.http.patch(f"{TEMPLATES}/tpl-orders", json={"type": "custom", "preferred_runtimes": []})
    deleted = await stack.http.delete(f"{TEMPLATES}/tpl-orders")

    assert shown == made
    assert (made["title"], made["built_in"], made["defaults"]) == ("Orders", False, {})
    differences: dict[str, Any] = {
        "type": "custom",
        "preferred_runtimes": [],
        "updated_at": changed.json()["updated_at"],
    }
    assert changed.json() == made | differences
    assert deleted.status_code == 204
    assert code(await stack.http.get(f"{TEMPLATES}/tpl-orders")) == (404, "not_found")


async def test_names_are_each_organizations_own(stack: Stack, nobody: httpx.AsyncClient, theirs: Organization) -> None:
    await template(stack, "tpl-twice")

    again = await stack.http.post(TEMPLATES, json={"name": "tpl-twice", "type": "task"})
    other = await nobody.post(TEMPLATES, json={"name": "tpl-twice", "type": "task"}, headers=theirs.auth())

    assert code(again) == (409, "name_conflict")
    assert other.status_code == 201


@pytest.mark.parametrize(
    ("body", "problem", "field"),
    [
        ({"preferred_runtimes": ["native", "langgrap"]}, "runtime_unknown", "/preferred_runtimes/1"),
        ({"required_capabilities": ["flying"]}, "value_invalid", "/required_capabilities/0"),
        ({"defaults": {"sytem_prompt": "x"}}, "field_unknown", "/defaults/sytem_prompt"),
        ({"defaults": {"configuration": {"temperature": 9}}}, "value_invalid", "/defaults/configuration/temperature"),
        ({"type": "chat"}, "value_invalid", "/type"),
        (
            {"defaults": {"toolsets": [{"type": "mcp", "servers": {"a": {"url": "http://127.0.0.1"}}}]}},
            "url_forbidden",
            "/defaults/toolsets/0/servers/a/url",
        ),
    ],
)
async def test_what_cannot_be_is_refused_where_it_stands(
    stack: Stack, body: dict[str, Any], problem: str, field: str
) -> None:
    answer = await stack.http.post(TEMPLATES, json={"name": "tpl-never", "type": "task"} | body)

    assert code(answer) == (422, problem)
    assert answer.json()["field"] == field


async def test_an_agent_takes_from_its_template_what_it_does_not_say_itself(stack: Stack) -> None:
    configuration = {"temperature": 0.1, "budget": {"tokens": 100, "model_calls": 5}}
    toolsets = [{"type": "file_system"}]
    defaults = {"model_id": "scripted/scripted", "system_prompt": "Be kind.", "toolsets": toolsets}
    await template(stack, "tpl-base", defaults=defaults | {"configuration": configuration})

    plain = await made_from(stack, "tpl-base", "tpl-plain")
    special = await made_from(
        stack, "tpl-base", "tpl-special", system_prompt="", toolsets=[], configuration={"budget": {"tokens": 7}}
    )

    assert {name: plain[name] for name in defaults} == defaults
    assert (plain["configuration"], plain["template"]) == (configuration, "tpl-base")
    assert (special["system_prompt"], special["toolsets"]) == ("", [])
    assert special["configuration"] == {"temperature": 0.1, "budget": {"tokens": 7}}


async def test_a_changed_template_changes_no_agent(stack: Stack) -> None:
    await template(stack, "tpl-moving", defaults={"model_id": "scripted/scripted", "system_prompt": "One."})
    agent = await made_from(stack, "tpl-moving", "tpl-staying")

    await stack.http.patch(f"{TEMPLATES}/tpl-moving", json={"defaults": {"system_prompt": "Two."}})

    assert (await stack.http.get(f"{AGENTS}/tpl-staying")).json() == agent


async def test_a_template_with_agents_is_not_deleted(stack: Stack) -> None:
    await template(stack, "tpl-used", defaults={"model_id": "scripted/scripted"})
    await made_from(stack, "tpl-used", "tpl-user")

    refused = await stack.http.delete(f"{TEMPLATES}/tpl-used")
    await stack.http.delete(f"{AGENTS}/tpl-user")
    deleted = await stack.http.delete(f"{TEMPLATES}/tpl-used")

    assert code(refused) == (409, "template_in_use")
    assert refused.json()["agents"] == 1
    assert deleted.status_code == 204


async def test_an_unknown_template_is_named_with_what_was_perhaps_meant(stack: Stack) -> None:
    body = {"name": "tpl-lost", "model_id": "scripted/scripted", "template": "chat-asistant"}

    answer = await stack.http.post(AGENTS, json=body)

    assert code(answer) == (422, "template_unknown")
    assert (answer.json()["field"], answer.json()["hint"]) == ("/template", "Did you mean 'chat-assistant'?")


async def test_an_agent_whose_template_has_no_model_needs_one(stack: Stack) -> None:
    answer = await stack.http.post(AGENTS, json={"name": "tpl-mute", "template": "chat-assistant"})

    assert code(answer) == (422, "field_missing")
    assert (answer.json()["field"], answer.json()["hint"]) == (
        "/model_id",
        "The template 'chat-assistant' has none.",
    )


async def test_every_built_in_one_makes_an_agent(stack: Stack) -> None:
    for name in BUILT_IN:
        agent = await made_from(stack, name, f"tpl-of-{name}", model_id="scripted/scripted")

        assert agent["template"] == name


async def test_templates_are_listed_page_by_page_and_by_type(stack: Stack) -> None:
    await template(stack, "tpl-listed", type="custom")

    pages = await all_pages(stack, TEMPLATES, type="custom", limit=2)

    found = [each["name"] for page in pages for each in page["items"]]
    assert {"custom-code-agent", "generic-custom", "tpl-listed"} <= set(found)
    assert found == sorted(set(found))


async def made_from(stack: Stack, template: str, name: str, **body: Any) -> dict[str, Any]:
    """An agent of a template."""
    answer = await stack.http.post(AGENTS, json={"name": name, "template": template} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()
