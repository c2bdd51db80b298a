"""Where executions go: settings that fit, workers that fit, room that is left; and what is refused."""

from collections import Counter
from typing import Any

from tests.control_plane.api.organizations import code
from tests.control_plane.installation import Installation
from tests.control_plane.turns import Temporal

EXECUTIONS = "/api/v1/executions"
GRAPH = {"runtime_config": {"graph": "flows.support:graph"}}


async def agent(installation: Installation, name: str, **body: Any) -> dict[str, Any]:
    """Make an agent."""
    answer = await installation.http.post("/api/v1/agents", json={"name": name, "model_id": "none"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def announced(runtime: str, version: str, versions: str, **more: Any) -> dict[str, Any]:
    """A runtime as a worker announces it, with the range of the worker's own manifest."""
    manifest = {
        "name": runtime,
        "title": runtime,
        "entry": "a:B",
        "package": runtime,
        "versions": versions,
        "capabilities": ["tools"],
        "wires": [],
    }
    return {
        "name": runtime,
        "title": runtime,
        "version": version,
        "capabilities": ["tools"],
        "manifest": manifest | more,
    }


async def test_settings_wait_for_the_runtime_that_takes_them(installation: Installation) -> None:
    await agent(installation, "graphic", configuration=GRAPH)
    await agent(installation, "graphic-chat", template="chat-assistant", configuration=GRAPH)
    await installation.announce("default")
    await installation.announce("native")

    waiting = [await installation.accept(agent_id=name) for name in ("graphic", "graphic-chat")]

    assert [each["status"] for each in waiting] == ["waiting_for_pool"] * 2
    assert [each["runtime"] for each in waiting] == ["langgraph"] * 2
    await installation.announce("langgraph")
    served = await installation.accept(agent_id="graphic")
    assert (served["runtime"], served["resolution"]["stage"]) == ("langgraph", "settings")


async def test_a_start_on_a_runtime_that_does_not_take_the_settings_is_refused(installation: Installation) -> None:
    await agent(installation, "graphic", configuration=GRAPH)
    await installation.announce("native")

    answer = await installation.http.post(EXECUTIONS, json={"agent_id": "graphic", "prompt": "x", "runtime": "native"})

    assert code(answer) == (422, "runtime_unfit")
    problem = answer.json()
    assert "'graph' is no setting of runtime 'native'." in problem["detail"]
    assert problem["hint"] == "Take the settings out of runtime_config, or name a runtime that takes them: langgraph."
    assert (await installation.http.get(EXECUTIONS)).json()["items"] == []


async def test_an_agent_that_no_candidate_takes_is_warned_of(installation: Installation) -> None:
    crew = {"runtime_config": {"process": "sequential", "graph": "flows.support:graph"}}
    answer = await installation.http.post(
        "/api/v1/agents", json={"name": "torn", "model_id": "none"} | {"configuration": crew}
    )
    tasked = await agent(installation, "coder", template="custom-code-agent", configuration=GRAPH)

    assert code(answer) == (422, "option_unsupported")
    (warning,) = tasked["warnings"]
    assert warning["code"] == "runtime_unfit"
    assert warning["hint"] == "Take the settings out of runtime_config."


async def test_what_waits_for_a_runtime_that_turns_out_not_to_take_it_fails(
    installation: Installation, temporal: Temporal
) -> None:
    plugin = announced("orbit", "1.0", ">=1", settings={"speed": {"type": "integer"}})
    await installation.announce("orbit", runtimes=[plugin], draining=True)
    await agent(installation, "pilot", runtime="orbit", configuration={"runtime_config": {"speed": 3}})
    execution = await installation.accept(agent_id="pilot")

    await installation.announce("orbit", runtimes=[announced("orbit", "2.0", ">=2")])
    told = await installation.reconciler.place()
    path = f"/internal/v1/executions/{execution['id']}/place"
    body = {"organization_id": str(installation.owner.id)}
    answer = await installation.http.post(path, json=body, headers=installation.owner.auth("worker"))

    assert (execution["status"], told, temporal.placed) == ("waiting_for_pool", 1, [execution["workflow_id"]])
    assert code(answer) == (422, "runtime_unfit")
    assert "'speed' is no setting of runtime 'orbit'." in answer.json()["detail"]


async def test_workers_are_judged_one_by_one_and_by_their_own_manifest(installation: Installation) -> None:
    await agent(installation, "homeless", runtime="native")
    upgraded, strange = announced("native", "9.1", ">=9,<10"), announced("native", "2.0", ">=9,<10")

    await installation.announce("native", worker_id="old", runtimes=[strange])
    waiting = await installation.accept(agent_id="homeless")
    await installation.announce("native", worker_id="new", runtimes=[upgraded])
    served = await installation.accept(agent_id="homeless")
    shown = (await installation.http.get("/api/v1/runtimes/native")).json()

    assert waiting["status"] == "waiting_for_pool"
    assert waiting["resolution"]["deploy"] == "holdfast worker --pool native  # with pydantic-ai-slim >=9,<10"
    assert (served["status"], served["resolution"]["pool"]) == ("queued", "native")
    assert shown["unsupported_versions"] == ["2.0"]


async def test_a_backlog_is_spread_over_pools_before_any_worker_says_that_it_is_busy(
    installation: Installation,
) -> None:
    await agent(installation, "homeless", runtime="native")
    await installation.announce("native-a", "native", slots=4)
    await installation.announce("native-b", "native", slots=2)

    executions = [await installation.accept(agent_id="homeless") for _ in range(12)]

    queues = Counter(execution["task_queue"] for execution in executions)
    assert queues == {"holdfast.native-a": 8, "holdfast.native-b": 4}


async def test_what_another_replica_placed_counts(installation: Installation) -> None:
    await agent(installation, "homeless", runtime="native")
    await installation.announce("native-a", "native", slots=4)
    first = await installation.turn(agent_id="homeless")
    await installation.announce("native-b", "native", slots=4)

    forgetful = type(installation.state.live)()
    installation.state.live = forgetful
    after_one = await installation.accept(agent_id="homeless")

    assert (first.execution["task_queue"], after_one["task_queue"]) == ("holdfast.native-a", "holdfast.native-b")
