"""Claude Code under the names of models that it knows: it thinks, and remarks on what is left of its tokens."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runtimes.claude_code_store import TRANSCRIPT
from runtimes.factory import RuntimeFactory
from runtimes.types import Tool, ToolResult, Wire
from services.model_gateway.server import ModelGateway
from services.providers import Provider, ProviderRegistry
from tests.provider_bodies.replay import Replay
from tests.runtimes.claude import SHELL, Durable, finished
from tests.runtimes.model_server import ModelServer
from tests.runtimes.sandboxes import needs_sandbox
from tests.runtimes.turns import Turns
from tests.services.model_gateway.gateways import Turns as Gateways

pytestmark = needs_sandbox

#: Each worded anew where it is asked again; what is said under a name that no body has.
NAMES = {
    "claude-sonnet-5": "",
    "claude-sonnet-4-5": "",
    "claude-haiku-4-5": "approve-thinking-two-answers",
    "claude-opus-4-6": "k-twice",
    "k-twice": "",
    "approve-thinking-two-answers": "",
}
#: What a run of all tests looks at, too.
QUICK = {"claude-sonnet-5", "claude-haiku-4-5", "approve-thinking-two-answers"}


def _names() -> list[Any]:
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.whole) for name in NAMES]


@dataclass(slots=True)
class Tools:
    """Results by the ids of their calls, as the journal has them; `slow` waits while it is `undecided`."""

    undecided: bool = False
    at_slow: asyncio.Event = field(default_factory=asyncio.Event)
    results: dict[str, ToolResult] = field(default_factory=dict[str, ToolResult])
    ran: list[str] = field(default_factory=list[str])

    def all(self) -> list[Tool]:
        return [Tool(name, name, {"type": "object"}, self._called(name)) for name in ("add", "slow")]

    def _called(self, name: str) -> Any:
        async def call(tool_call_id: str, arguments: Mapping[str, Any] | str) -> ToolResult:
            if tool_call_id not in self.results:
                await self._run(name)
                self.results[tool_call_id] = ToolResult(f"{name} is done\n")
            return self.results[tool_call_id]

        return call

    async def _run(self, name: str) -> None:
        if name == "slow":
            self.at_slow.set()
            await asyncio.sleep(self.undecided * 1000)
        self.ran.append(name)


@pytest.fixture
async def gateway(provider_bodies: Replay) -> AsyncIterator[ModelGateway]:
    provider_bodies.aliases = {name: body for name, body in NAMES.items() if body}
    gateway = ModelGateway(ProviderRegistry([Provider("anthropic", provider_bodies.url, "sk", Wire.ANTHROPIC)]))
    await gateway.start()
    yield gateway
    await gateway.close()


@pytest.fixture
def turn(
    request: pytest.FixtureRequest, factory: RuntimeFactory, model: ModelServer, gateway: ModelGateway, tmp_path: Path
) -> Durable:
    claude = Turns(factory, "claude_code", None, model.endpoint(Wire.ANTHROPIC))
    model_id = f"anthropic/{request.param}"
    return Durable(claude, tmp_path, gateways=Gateways(gateway, model, Wire.ANTHROPIC, model_id=model_id))


@pytest.mark.parametrize("turn", _names(), indirect=True)
@pytest.mark.parametrize("undecided", [False, True], ids=["after a call", "before a decision"])
async def test_a_turn_goes_on_under_any_name(turn: Durable, provider_bodies: Replay, undecided: bool) -> None:
    tools = Tools(undecided)
    prompt = f"case {turn.marker}"
    await turn.broken_off(prompt, lambda: tools.at_slow.is_set() and _is_kept(turn), tools=tools.all())

    tools.undecided = False
    events = await turn.replayed(prompt, tools=tools.all())

    assert finished(events).response == "Final answer."
    assert tools.ran == ["add", "slow"]
    assert provider_bodies.paid_twice() == []
    assert {asked.outcome for asked in provider_bodies.log} <= {"answered", "cut off"}


@pytest.mark.parametrize("turn", ["claude-sonnet-5", "claude-haiku-4-5"], indirect=True)
async def test_the_model_is_told_what_it_was_told_before(turn: Durable, provider_bodies: Replay) -> None:
    tools = Tools(undecided=True)
    prompt = f"case {turn.marker}"
    await turn.broken_off(prompt, lambda: tools.at_slow.is_set() and _is_kept(turn), tools=tools.all())
    before = provider_bodies.log[-1].body["messages"]

    tools.undecided = False
    await turn.replayed(prompt, tools=tools.all())

    after = provider_bodies.log[-1].body["messages"]
    assert "tokens left" in str(before)
    assert _without_marks(after)[: len(before)] == _without_marks(before)


@pytest.mark.parametrize("turn", ["approve-thinking-two-answers", "claude-sonnet-5"], indirect=True)
async def test_a_workspace_that_became_a_repository_makes_no_other_request(
    turn: Durable, provider_bodies: Replay
) -> None:
    tools = Tools(undecided=True)
    prompt = f"case {turn.marker}"

    def has_become_one() -> bool:
        (turn.workspace / ".git").mkdir(exist_ok=True)
        (turn.workspace / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        return tools.at_slow.is_set() and _is_kept(turn)

    await turn.broken_off(prompt, has_become_one, tools=tools.all(), toolsets=SHELL)
    tools.undecided = False
    await turn.replayed(prompt, tools=tools.all(), toolsets=SHELL)

    assert provider_bodies.paid_twice() == []


def _is_kept(turn: Durable) -> bool:
    """Whether the turn will go on from the transcript, and not from its beginning."""
    return "tool_result" in str(turn.store.lists.get(TRANSCRIPT))


def _without_marks(messages: list[dict[str, Any]]) -> list[Any]:
    """Without marks for the cache, and texts as texts: a mark needs a list."""
    return [(message["role"], _plain(message["content"])) for message in messages]


def _plain(content: Any) -> Any:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [{name: value for name, value in block.items() if name != "cache_control"} for block in blocks]
