"""What the CrewAI runtime alone does: crews of several agents and tasks, and none of CrewAI's habits."""

import json
import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from runtimes.manifests.known import KNOWN
from runtimes.types import Wire
from tests.architecture.source import ROOT
from tests.environments import python_of
from tests.runtimes.model_server import ModelServer

RESEARCHER = {"role": "Researcher", "goal": "Find facts.", "backstory": "You read a lot."}
WRITER: Mapping[str, Any] = {"role": "Writer", "goal": "Write well.", "backstory": "You write.", "tools": []}
CREW: Mapping[str, Any] = {
    "agents": {"researcher": RESEARCHER, "writer": WRITER},
    "tasks": [
        {"description": "Find out: {prompt}", "expected_output": "Facts", "agent": "researcher"},
        {"description": "Write it up. [[say A fine text.]]", "expected_output": "A text", "agent": "writer"},
    ],
}
MANAGED = {**CREW, "process": "hierarchical", "tasks": [{"description": "{prompt}", "expected_output": "Facts"}]}
BOSS: Mapping[str, Any] = {"role": "Boss", "goal": "Lead.", "backstory": "You lead."}
LED: Mapping[str, Any] = {"agents": {**CREW["agents"], "boss": BOSS}, "manager_agent": "boss"}


class Crews:
    """A process in CrewAI's own environment, that runs turns."""

    def __init__(self, process: "subprocess.Popen[str]", model: ModelServer, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self.model = model

    def run(self, prompt: str, runtime_config: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Run a turn."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"prompt": prompt, "runtime_config": runtime_config, **more}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def said(self) -> str:
        """All that was written beside the answers."""
        return self._errors.read_text()


@pytest.fixture(scope="module")
def crews(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Generator[Crews]:
    url = model.endpoint(Wire.OPENAI).base_url
    errors = tmp_path_factory.mktemp("crews") / "stderr"
    command = [str(python_of("crewai")), "-m", "tests.runtimes.elsewhere", "crewai", url]
    with (
        errors.open("w") as said,
        subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        ) as process,
    ):
        yield Crews(process, model, errors)
        process.kill()


async def systems(crews: Crews, marker: str) -> list[str]:
    """The beginnings of the system prompts of a turn's model calls."""
    requests = await crews.model.requests(marker)
    return [call["body"]["messages"][0]["content"].split(".")[0] for call in requests]


def response(told: Mapping[str, Any]) -> str:
    assert told["failure"] is None, told
    last = told["events"][-1]
    assert last["kind"] == "TurnFinished"
    return last["response"]


def tools(call: Mapping[str, Any]) -> list[str]:
    """The tools of a model call, sorted."""
    return sorted(each["function"]["name"] for each in call["body"]["tools"])


async def test_the_tasks_of_a_crew_are_done_one_after_the_other(crews: Crews) -> None:
    marker = uuid4().hex

    told = crews.run(f'[[tool lookup {{"q": "{marker}"}};; result]]', CREW)

    assert response(told) == "A fine text."
    first, second, third = await crews.model.requests(marker)
    assert await systems(crews, marker) == ["You are Researcher", "You are Researcher", "You are Writer"]
    assert [each["function"]["name"] for each in first["body"]["tools"]] == ["lookup"]
    assert "tools" not in third["body"]
    assert second["body"]["messages"][-1]["role"] == "tool"
    assert f'looked up {{"q": "{marker}"}}' in third["body"]["messages"][-1]["content"]


async def test_a_manager_delegates_and_that_is_told(crews: Crews) -> None:
    marker = uuid4().hex
    order = {"task": f"{marker} [[say Found it.]]", "context": "none", "coworker": "Researcher"}

    told = crews.run(f"{marker} [[tool delegate_work_to_coworker {json.dumps(order)};; result]]", MANAGED)

    assert response(told) == "Found it."
    assert await systems(crews, marker) == ["You are Crew Manager", "You are Researcher", "You are Crew Manager"]
    kinds = [event["kind"] for event in told["events"] if event["kind"] != "TextDelta"]
    assert kinds == ["ToolCallStarted", "ToolCallCompleted", "TurnFinished"]


async def test_an_agent_that_manages_gives_the_work_to_the_others(crews: Crews) -> None:
    marker = uuid4().hex
    order = {"task": f'{marker} [[tool lookup {{"q": 1}};; result]]', "context": "none", "coworker": "Researcher"}

    told = crews.run(f"{marker} [[tool delegate_work_to_coworker {json.dumps(order)};; result]]", {**MANAGED, **LED})

    requests = await crews.model.requests(marker)
    assert response(told) == 'looked up {"q": 1}'
    assert await systems(crews, marker) == ["You are Boss", *["You are Researcher"] * 2, "You are Boss"]
    assert tools(requests[0]) == ["ask_question_to_coworker", "delegate_work_to_coworker"]
    assert tools(requests[1]) == ["lookup"]
    events = [(event["kind"], event.get("name")) for event in told["events"] if event["kind"] != "TextDelta"]
    assert events == [
        ("ToolCallStarted", "delegate_work_to_coworker"),
        ("ToolCallCompleted", "delegate_work_to_coworker"),
        ("TurnFinished", None),
    ]


async def test_a_manager_gives_a_task_to_the_agent_that_the_task_names(crews: Crews) -> None:
    marker = uuid4().hex
    order = {"task": f"{marker} [[say Well written.]]", "context": "none", "coworker": "Writer"}
    crew: Mapping[str, Any] = {
        **MANAGED,
        "agents": {**CREW["agents"], "boss": {**BOSS, "tools": []}},
        "tasks": [{"description": "{prompt}", "expected_output": "A text", "agent": "writer"}],
        "manager_agent": "boss",
    }

    told = crews.run(f"{marker} [[tool delegate_work_to_coworker {json.dumps(order)};; result]]", crew)

    assert response(told) == "Well written."
    assert await systems(crews, marker) == ["You are Boss", "You are Writer", "You are Boss"]


@pytest.mark.parametrize(
    "manager", [{}, {"agents": {**CREW["agents"], "boss": BOSS}, "manager_agent": "boss"}], ids=["own", "named"]
)
def test_a_manager_hears_of_a_tool_that_there_is_not(crews: Crews, manager: Mapping[str, Any]) -> None:
    told = crews.run('[[tool lookup {"q": 1};; result]]', {**MANAGED, **manager})

    assert response(told).startswith("There is no tool 'lookup'.")
    kinds = [event["kind"] for event in told["events"] if event["kind"] != "TextDelta"]
    assert kinds == ["ToolCallStarted", "ToolCallCompleted", "TurnFinished"]


def test_the_system_prompt_goes_with_the_last_task(crews: Crews) -> None:
    crew = {**CREW, "tasks": [CREW["tasks"][0], {**CREW["tasks"][1], "description": "Go on. [[history]]"}]}

    told = crews.run("[[say Facts.]]", crew, system_prompt="Answer in verse with {braces}.")

    assert "Answer in verse with {braces}." in response(told)


def test_an_agent_has_the_tools_that_it_names_and_no_others(crews: Crews) -> None:
    told = crews.run(
        '[[tool lookup {"q": 1};; result]]',
        {
            **MANAGED,
            "process": "sequential",
            "tasks": [{"description": "{prompt}", "expected_output": "Facts", "agent": "writer"}],
        },
    )

    assert response(told).startswith("There is no tool 'lookup'.")


def test_nothing_of_a_crew_is_kept_on_the_machine(crews: Crews) -> None:
    marker = uuid4().hex
    storage = Path(KNOWN["crewai"].environment["CREWAI_STORAGE_DIR"])

    told = crews.run(f"[[say {marker}]]", {**CREW, "tasks": CREW["tasks"][:1]})

    assert response(told) == marker
    assert [path for path in storage.rglob("*") if path.is_file() and marker.encode() in path.read_bytes()] == []


def test_a_limit_ends_the_whole_crew(crews: Crews) -> None:
    told = crews.run('[[repeat-tool 50 lookup {"q": 1}]]', {**CREW, "max_turns": 3})

    assert told["failure"] is None
    assert told["events"][-1]["finish_reason"] == "tool_limit"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"agents": {"a": RESEARCHER}}, "A crew's agents have nothing to do."),
        ({**CREW, "tasks": CREW["tasks"][1:]}, "No task of the crew has the prompt."),
        ({**CREW, "process": "chaotic"}, "runtime_config.process: "),
        ({**CREW, "tasks": [{**CREW["tasks"][0], "agent": "resercher"}]}, "Did you mean 'researcher'?"),
        (
            {**MANAGED, "manager_agent": "boss"},
            "runtime_config.manager_agent names the agent 'boss', which there is not.",
        ),
        (
            {**MANAGED, "agents": {**CREW["agents"], "boss": {**BOSS, "tools": ["lookup"]}}, "manager_agent": "boss"},
            "runtime_config.agents.boss.tools: the crew's manager has no tools.",
        ),
        (
            {**CREW, "manager_agent": "writer"},
            "runtime_config.manager_agent has nobody to manage: the process is sequential.",
        ),
        (
            {**CREW, "tasks": [CREW["tasks"][0] | {"name": "facts"}, CREW["tasks"][1] | {"name": "facts"}]},
            "runtime_config.tasks.1.name: another task is called 'facts'.",
        ),
        (
            {**CREW, "tasks": [CREW["tasks"][0], CREW["tasks"][1] | {"context": ["facts"]}]},
            "runtime_config.tasks.1.context names the earlier task 'facts', which there is not. There are none.",
        ),
        (
            {**CREW, "tasks": [{"description": "{prompt}", "expected_output": "Facts"}]},
            "runtime_config.tasks.0.agent: nobody does this task.",
        ),
        (
            {**CREW, "agents": {**CREW["agents"], "writer": {**WRITER, "tools": ["lokup"]}}},
            "runtime_config.agents.writer.tools names the tool 'lokup', which there is not. Did you mean 'lookup'?",
        ),
    ],
)
def test_a_crew_that_cannot_be_is_refused(crews: Crews, settings: Mapping[str, Any], told: str) -> None:
    refused = crews.run("[[say never]]", settings)

    assert told in refused["failure"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["lookUp", "look_up"], "The tools 'lookUp' and 'look_up' are the same for CrewAI: 'look_up'."),
        (["tickets__close", "tickets_close"], "The tools 'tickets__close' and 'tickets_close' are the same for CrewAI"),
        (
            ["delegateWorkToCoworker"],
            "No tool can be called 'delegateWorkToCoworker' under CrewAI: the name 'delegate_work_to_coworker' is",
        ),
        (["no_such_tool"], "No tool can be called 'no_such_tool' under CrewAI"),
    ],
)
def test_tools_that_crewai_cannot_tell_apart_are_refused(crews: Crews, names: list[str], told: str) -> None:
    refused = crews.run("[[say never]]", {}, tools=names)

    assert told in refused["failure"]
    assert refused["hint"] == "Give the tool another name, or leave it out of the agent's toolsets."


def test_crewai_tells_nobody_and_takes_no_signals(crews: Crews) -> None:
    port = crews.model.url.rpartition(":")[2]

    told = crews.run("A secret. [[tool unknown {};; say done]]", {})

    assert response(told) == "done"
    assert told["seen"] == [f"('127.0.0.1', {port})"]
    assert told["taken"] == []
    assert crews.said() == ""


#: A crew whose own code raises what a thread's future cannot hold.
STOPPED = """
import asyncio
from runtimes import crewai_runtime
from runtimes.factory import RuntimeFactory
from runtimes.types import ModelEndpoint, Wire
from tests.runtimes.elsewhere import run
from tests.runtimes.turns import Turns

crewai_runtime.crew_work = lambda *_: lambda: next(iter(()))
endpoint = ModelEndpoint("http://127.0.0.1:9", "sk-test", Wire.OPENAI, "scripted-1", "local")
told = asyncio.run(run(Turns(RuntimeFactory(), "crewai", None, endpoint), {"prompt": "hello"}))
print(told["failure"])
"""


def test_a_crew_that_stops_an_iteration_ends_its_turn() -> None:
    command = [str(python_of("crewai")), "-c", STOPPED]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)

    assert told.stdout.strip() == "StopIteration:"
