"""The examples on the page about choosing a runtime say what the resolver says."""

import io
import json
import re
from importlib.metadata import version
from typing import Any

import pytest

from control_plane.api.agents.inheritance import merged
from control_plane.api.agents.schemas import CreateAgent
from control_plane.api.executions.placement import Definition
from control_plane.cli.output import Output, Printer
from control_plane.cli.resolve import show_resolution
from control_plane.documents import read_yaml
from control_plane.frameworks_file import FrameworksFile
from runtimes.frameworks import FrameworksConfig
from runtimes.live_pools import LivePool, LiveWorker
from runtimes.manifests.known import KNOWN
from runtimes.resolver import RuntimeResolver, Wanted
from runtimes.templates import BUILT_IN
from runtimes.types import Capability, RuntimeType
from services.control_plane_client.models import AgentSpec
from tests.docs.markdown import Document

PAGE = Document("docs/choosing-a-runtime.md")
#: What the page says of the live pools: slots and turns.
LIVE = {"default": (10, 3), "langgraph": (10, 0), "native": (10, 0)}

_CAPABILITY = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
_EXAMPLE = re.compile(r"```json\n(?P<agent>\{.*?\})\n```\n\n```text\n(?P<said>.*?)```", re.DOTALL)
EXAMPLES = [(json.loads(match["agent"]), match["said"]) for match in _EXAMPLE.finditer(PAGE.text)]


def pool(runtime: str) -> LivePool:
    """A live pool as the page describes it, with the framework that is installed here."""
    slots, running = LIVE[runtime]
    worker = LiveWorker(version(KNOWN[runtime].package), slots=slots, running=running)
    return LivePool(runtime, f"holdfast.{runtime}", runtime, (worker,))


def explained(agent: dict[str, Any]) -> str:
    """What the command prints of an agent."""
    body = CreateAgent.model_validate({"model_id": "scripted/scripted"} | agent)
    template = BUILT_IN.get(body.template or "")
    given = {"id": "", "version": 0, "runtime": body.runtime or ""}
    spec = AgentSpec.model_validate(merged(body, template) | given)
    resolver = RuntimeResolver(KNOWN, FrameworksConfig())
    resolution = resolver.resolve(Definition(spec, template).wanted(), [pool(name) for name in LIVE])
    out = io.StringIO()
    show_resolution(Printer(Output.TABLE, out=out, err=out), resolution.model_dump(mode="json"))
    return out.getvalue()


def holders(capability: Capability) -> str:
    """The built-in runtimes that have it, as the page's table names them."""
    built_in = [name for name in KNOWN if name != RuntimeType.SCRIPTED]
    having = sorted(name for name in built_in if capability in KNOWN[name].capabilities)
    return "all" if len(having) == len(built_in) else ", ".join(f"`{name}`" for name in having)


def test_the_table_of_capabilities_says_what_the_manifests_say() -> None:
    assert dict(_CAPABILITY.findall(PAGE.text)) == {each.value: holders(each) for each in Capability}


def test_the_example_of_the_frameworks_file_decides_as_it_says() -> None:
    written = read_yaml(Document("docs/frameworks.md").blocks("yaml")).values
    resolver = RuntimeResolver(KNOWN, FrameworksFile.model_validate(written).frameworks)
    wanted = Wanted(template=BUILT_IN["customer-service-bot"])

    found = resolver.resolve(wanted, [pool(name) for name in LIVE])

    assert (found.runtime, found.pool) == ("langgraph", "langgraph")
    assert found.required.keys() >= {"streaming", "memory"}
    assert [each.reason for each in found.candidates if "lacks" in each.reason] == []


@pytest.mark.parametrize(("agent", "said"), EXAMPLES, ids=[agent["name"] for agent, _ in EXAMPLES])
def test_an_example_is_explained_as_the_page_says(agent: dict[str, Any], said: str) -> None:
    assert explained(agent) == said


def test_there_are_six_and_one_of_them_has_no_pool() -> None:
    assert len(EXAMPLES) == 6
    assert sum("Waits for a pool" in said for _, said in EXAMPLES) == 1
