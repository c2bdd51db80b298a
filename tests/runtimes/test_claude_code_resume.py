"""A turn of the Claude Code runtime that goes on after its worker was lost, at each point where that can happen."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from runtimes.factory import RuntimeFactory
from runtimes.types import Resumed, ToolResult, Wire
from services.control_plane_client.models import StepStatus
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from services.storable import storable_value
from tests.runtimes.claude import FILES, SHELL, Durable, LateLists, Lists, finished, text_of
from tests.runtimes.model_server import ModelServer
from tests.runtimes.sandboxes import needs_sandbox
from tests.runtimes.turns import Turns, tool
from tests.services.model_gateway.gateways import Turns as Gateways

pytestmark = needs_sandbox

ONE = 'tool Bash {"command": "echo one >> l"}'


@pytest_asyncio.fixture(scope="session")
async def gateway(model: ModelServer) -> AsyncIterator[ModelGateway]:
    gateway = ModelGateway(ProviderRegistry([Provider("anthropic", model.url, "sk-real", Wire.ANTHROPIC)]))
    await gateway.start()
    yield gateway
    await gateway.close()


@pytest.fixture
def turn(factory: RuntimeFactory, model: ModelServer, gateway: ModelGateway, tmp_path: Path) -> Durable:
    claude = Turns(factory, "claude_code", model, model.endpoint(Wire.ANTHROPIC))
    return Durable(claude, tmp_path, gateways=Gateways(gateway, model, Wire.ANTHROPIC))


def lines(turn: Durable) -> list[str]:
    return (turn.workspace / "l").read_text().split()


async def test_in_the_middle_of_a_stream_only_that_call_is_made_again(turn: Durable) -> None:
    script = f"[[say Look.;; {ONE};; emit 40 @40]]"
    await turn.broken_off(script, lambda: text_of(turn.events).count("tok") > 3, toolsets=SHELL)
    turn.told = ["Look."]

    events = await turn.replayed(script, toolsets=SHELL)

    assert isinstance(events[0], Resumed)
    assert text_of(events) == finished(events).response
    assert finished(events).response.endswith("tok40")
    assert await turn.outcomes() == ["completed", "aborted", "completed"]
    assert lines(turn) == ["one"]


async def test_a_call_whose_outcome_is_unknown_is_not_run_again(turn: Durable) -> None:
    script = '[[say Look.;; tool Bash {"command": "echo one >> l; sleep 1000"};; result]]'
    await turn.broken_off(script, (turn.workspace / "l").exists, toolsets=SHELL)
    turn.told = ["Look."]

    events = await turn.replayed(script, toolsets=SHELL)

    assert "The outcome is unknown." in finished(events).response
    assert await turn.outcomes() == ["completed", "completed"]
    assert lines(turn) == ["one"]


async def test_results_of_some_calls_of_an_answer_are_kept(turn: Durable) -> None:
    script = f'[[say Look.;; {ONE} && Bash {{"command": "echo two >> l; sleep 1000"}};; result]]'
    await turn.broken_off(script, lambda: len(turn.journal.begun) == 2 and len(lines(turn)) == 2, toolsets=SHELL)

    events = await turn.replayed(script, toolsets=SHELL)

    assert isinstance(events[0], Resumed)
    assert text_of(events).startswith("Look.")
    assert "The outcome is unknown." in finished(events).response
    assert await turn.outcomes() == ["completed", "completed"]
    assert lines(turn) == ["one", "two"]


async def test_before_the_next_model_call_nothing_is_done_again(turn: Durable) -> None:
    script = f'[[{ONE};; tool Write {{"file_path": "/workspace/w", "content": "x"}};; wait 3;; say End.]]'
    await turn.broken_off(script, lambda: len(turn.journal.results) == 2, toolsets=[*SHELL, *FILES])

    events = await turn.replayed(script, toolsets=[*SHELL, *FILES])

    assert finished(events).response == "End."
    assert (await turn.outcomes())[-1] == "completed"
    assert (await turn.outcomes()).count("completed") == 3
    assert lines(turn) == ["one"]
    assert len(turn.journal.begun) == 2


async def test_after_the_last_message_no_call_is_made(turn: Durable) -> None:
    script = f"[[{ONE};; say End.]]"
    await turn.replayed(script, toolsets=SHELL)
    turn.told = ["End."]

    events = await turn.replayed(script, toolsets=SHELL)

    assert finished(events).response == "End."
    assert text_of(events) == ""
    assert await turn.outcomes() == ["completed", "completed"]
    assert lines(turn) == ["one"]


async def test_our_own_tools_are_asked_again_under_the_same_id(turn: Durable) -> None:
    """Whether they are asked again is chance: the journal knows what an id was answered with."""
    asked: set[tuple[str, str]] = set()

    async def lookup(tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        asked.add((tool_call_id, str(arguments)))
        return ToolResult("found")

    script = '[[say A.;; tool lookup {"q": 1} && lookup {"q": 2};; say B.;; wait 3;; say C.]]'
    await turn.broken_off(script, lambda: "B." in text_of(turn.events), tools=[tool(lookup)])

    events = await turn.replayed(script, tools=[tool(lookup)])

    assert text_of(events) == "A.B. C."
    assert (await turn.outcomes()).count("completed") == 2
    assert len(asked) == 2


async def test_what_follows_an_edit_still_knows_the_file(turn: Durable) -> None:
    """The CLI edits only files that it has read: it has to remember that over the worker's death."""
    (turn.workspace / "a").write_text("old")
    script = (
        '[[tool Read {"file_path": "/workspace/a"};; wait 3;;'
        ' tool Edit {"file_path": "/workspace/a", "old_string": "old", "new_string": "new"};; result]]'
    )
    await turn.broken_off(script, lambda: len(turn.journal.results) == 1, toolsets=FILES)

    events = await turn.replayed(script, toolsets=FILES)

    assert (turn.workspace / "a").read_text() == "new"
    assert "updated" in finished(events).response


@pytest.mark.parametrize("denial", ["", "Not today."])
async def test_a_decision_is_obeyed_once(turn: Durable, denial: str) -> None:
    script = f"[[say Look.;; {ONE};; result;; say End.]]"
    turn.journal.undecided = True
    await turn.broken_off(script, turn.journal.waiting.is_set, toolsets=SHELL)
    assert not (turn.workspace / "l").exists()

    turn.journal.undecided, turn.journal.denial = False, denial
    events = await turn.replayed(script, toolsets=SHELL)

    assert finished(events).response.endswith("End.")
    assert denial in finished(events).response
    assert (turn.workspace / "l").exists() is not bool(denial)
    assert len(turn.journal.begun) == (0 if denial else 1)
    assert await turn.outcomes() == ["completed", "completed"]


async def test_a_decision_on_one_of_two_calls_leaves_the_other_alone(turn: Durable) -> None:
    script = f'[[{ONE} && Write {{"file_path": "/workspace/w", "content": "x"}};; result]]'

    def waits() -> bool:
        turn.journal.undecided = bool(turn.journal.begun)
        return turn.journal.waiting.is_set() and len(turn.journal.results) == 1

    await turn.broken_off(script, waits, toolsets=[*SHELL, *FILES])
    turn.journal.undecided = False
    events = await turn.replayed(script, toolsets=[*SHELL, *FILES])

    assert (turn.workspace / "w").read_text() == "x"
    assert lines(turn) == ["one"]
    assert turn.journal.names == ["Bash", "Write"]
    assert "created" in finished(events).response


async def test_a_denied_call_takes_no_other_call_of_its_answer_along(turn: Durable) -> None:
    """The CLI begins a call before it has written down those that follow it."""
    script = f'[[say Look.;; {ONE} && Write {{"file_path": "/workspace/w", "content": "x"}};; result]]'
    turn.journal.undecided = True
    await turn.broken_off(script, turn.journal.waiting.is_set, toolsets=[*SHELL, *FILES])

    turn.journal.undecided, turn.journal.denial, turn.journal.denied = False, "Not today.", "Bash"
    events = await turn.replayed(script, toolsets=[*SHELL, *FILES])

    first, second = finished(events).response.splitlines()
    assert first == "Not today."
    assert "created" in second
    assert turn.journal.names == ["Write"]
    assert await turn.outcomes() == ["completed", "completed"]


async def test_what_the_model_was_told_of_a_call_that_did_not_run_is_told_again(turn: Durable) -> None:
    """The CLI has words of its own for it: with them it would be another request, and another model call."""
    script = f'[[{ONE};; tool Write {{"file_path": "/workspace/w", "content": "x"}};; result]]'
    turn.journal.denial, turn.journal.denied = "Not today.", "Bash"
    turn.journal.undecided, turn.journal.asked = True, "Write"
    await turn.broken_off(script, turn.journal.waiting.is_set, toolsets=[*SHELL, *FILES])

    turn.journal.undecided = False
    await turn.replayed(script, toolsets=[*SHELL, *FILES])

    assert (await turn.outcomes()).count("completed") == 3


async def test_an_answer_of_which_the_rest_is_asked_for_again_stays_one(turn: Durable) -> None:
    script = f'[[say A.;; {ONE} && Write {{"file_path": "/workspace/w", "content": "x"}};; say B.;; history]]'
    turn.journal.undecided, turn.journal.asked = True, "Write"
    await turn.broken_off(script, turn.journal.waiting.is_set, toolsets=[*SHELL, *FILES])

    turn.journal.undecided = False
    events = await turn.replayed(script, toolsets=[*SHELL, *FILES])

    said = finished(events).response.splitlines()
    roles = [line.partition(":")[0] for line in said if ":" in line]
    assert roles.count("assistant") == 1
    assert await turn.outcomes() == ["completed", "completed"]


@pytest.mark.parametrize("calls", [3, 4, 5])
@pytest.mark.parametrize("store", [Lists, LateLists])
@pytest.mark.parametrize("name", ["nobody-knows-me", "claude-sonnet-5"])
async def test_a_conversation_that_was_shortened_is_not_shortened_again(
    turn: Durable, calls: int, store: type[Lists], name: str
) -> None:
    """The third model call and the fourth are the CLI's own, for a summary; the fifth goes on from it."""
    assert turn.gateways is not None
    turn.gateways.model_id = f"anthropic/{name}"
    turn.store = store()
    script = f"[[{ONE};; usage 199000 50;; say B.;; {ONE}]]"
    settings = {"runtime_config": {"context_window": 60_000}}
    await turn.broken_off(
        script, lambda: len(turn.steps.of(StepStatus.DONE)) >= calls, toolsets=SHELL, configuration=settings
    )

    await turn.replayed(script, toolsets=SHELL, configuration=settings)

    done = [step.hash for step in turn.steps.of(StepStatus.DONE)]
    assert len(done) == len(set(done)) == 5
    assert "<summary>" in str(turn.steps.steps[2].request)
    assert lines(turn) == ["one", "one"]


@pytest.mark.parametrize("calls", [4, 8])
@pytest.mark.parametrize("name", ["nobody-knows-me", "claude-sonnet-5"])
async def test_large_results_of_tools_are_the_same_after_a_loss(turn: Durable, calls: int, name: str) -> None:
    assert turn.gateways is not None
    turn.gateways.model_id = f"anthropic/{name}"
    large = 'tool Bash {"command": "echo one >> l; seq 1 6000"}'
    script = f"[[{';; '.join([large] * 9)};; say done]]"
    settings = {"runtime_config": {"context_window": 60_000}}
    await turn.broken_off(
        script, lambda: len(turn.steps.of(StepStatus.DONE)) >= calls, toolsets=SHELL, configuration=settings
    )

    events = await turn.replayed(script, toolsets=SHELL, configuration=settings)

    done = [step.hash for step in turn.steps.of(StepStatus.DONE)]
    assert finished(events).response == "done"
    assert len(done) == len(set(done)) == await turn.model_calls()


class Stored(Lists):
    """Lists that come back as a database can store them."""

    async def append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        await super().append(name, storable_value(list(entries)))


@pytest.mark.parametrize("name", ["nobody-knows-me", "claude-sonnet-5"])
@pytest.mark.parametrize("calls", [1, 2])
async def test_characters_that_cannot_be_stored_make_no_other_request_after_a_loss(
    turn: Durable, calls: int, name: str
) -> None:
    assert turn.gateways is not None
    turn.gateways.model_id, turn.store = f"anthropic/{name}", Stored()
    odd = r"""tool Bash {"command": "echo one >> l; printf 'a\\000b\\033c\\377d'"}"""
    script = f"[[{odd};; {ONE};; history]]"
    await turn.broken_off(script, lambda: len(turn.steps.of(StepStatus.DONE)) >= calls, toolsets=SHELL)

    await turn.replayed(script, toolsets=SHELL)

    done = [step.hash for step in turn.steps.of(StepStatus.DONE)]
    assert len(done) == len(set(done)) == await turn.model_calls() == 3
    assert "\0" not in str([step.request for step in turn.steps.steps])


async def test_a_turn_goes_on_after_a_second_loss_too(turn: Durable) -> None:
    script = f'[[say A.;; {ONE};; say B.;; tool Bash {{"command": "echo two >> l"}};; say C.;; wait 3;; say D.]]'
    await turn.broken_off(script, lambda: len(turn.journal.results) == 1, toolsets=SHELL)
    await turn.broken_off(script, lambda: "C." in text_of(turn.events), toolsets=SHELL)
    turn.told = ["A.", "B."]

    events = await turn.replayed(script, toolsets=SHELL)

    assert text_of(events) == finished(events).response == "C. D."
    assert lines(turn) == ["one", "two"]
    assert (await turn.outcomes()).count("completed") == 3


async def test_the_conversation_reads_as_if_nothing_had_happened(turn: Durable) -> None:
    script = f'[[say A.;; {ONE};; say B.;; wait 3;; tool Bash {{"command": "echo two"}};; history]]'
    await turn.broken_off(script, lambda: "B." in text_of(turn.events), toolsets=SHELL)

    events = await turn.replayed(script, toolsets=SHELL)

    said = finished(events).response.splitlines()
    assert [line.partition(":")[0] for line in said] == [
        "system", "user", "system", "assistant", "tool", "assistant", "tool"
    ]  # fmt: skip
