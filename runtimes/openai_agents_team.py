"""The agents of a turn: the agent itself, and those that it may hand the conversation over to."""

from collections.abc import Mapping, Sequence
from typing import Any

from agents import Agent, Handoff, Model, ModelSettings
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from runtimes.errors import ConfigurationInvalid
from runtimes.meant import guess
from runtimes.openai_agents_model import model_settings
from runtimes.openai_agents_tools import function_tool
from runtimes.openai_agents_turn import Turn
from runtimes.types import RuntimeExecutionContext

#: What the agent that begins is called by the others, unless it has a name.
FIRST = "main"


class Specialist(BaseModel):
    """One of `runtime_config.agents`, in the words of the SDK's `Agent`; without `tools` it has all of them."""

    model_config = ConfigDict(extra="forbid")

    instructions: str
    handoff_description: str | None = None
    handoffs: list[str] = Field(default_factory=list)
    tools: list[str] | None = None


_SPECIALISTS = TypeAdapter(dict[str, Specialist])


def first_agent(context: RuntimeExecutionContext, turn: Turn, model: Model) -> Agent[Any]:
    """The agent that a turn begins with, with all that can be reached from it.

    Raises:
        ConfigurationInvalid: the agent's `runtime_config` says something that cannot be.
    """
    settings: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
    first = Specialist(instructions=context.system_prompt, handoffs=settings.get("handoffs") or [])
    name, specialists = settings.get("name", FIRST), _specialists(settings.get("agents") or {})
    if name in specialists:
        raise ConfigurationInvalid(
            f"runtime_config.agents.{name[:80]}: the agent that begins is called '{name[:80]}' too.",
            hint="Give one of them another name; runtime_config.name is that of the agent that begins.",
        )
    described = {name: first, **specialists}
    team = _Team(context, turn, model, model_settings(context.configuration, context.model))
    made = {name: team.member(name, each) for name, each in described.items()}
    for name, each in described.items():
        others = [_named(made, other, f"The handoff of agent '{name}'", "agent") for other in each.handoffs]
        _check_calls(made[name], others)
        made[name].handoffs = [*others]
    return next(iter(made.values()))


def _check_calls(agent: Agent[Any], others: Sequence[Agent[Any]]) -> None:
    """A model knows tools and handoffs by their names alone."""
    known = {tool.name: "a tool" for tool in agent.tools}
    for other in others:
        call, what = Handoff.default_tool_name(other), f"the handoff to '{other.name[:80]}'"
        if call in known:
            raise ConfigurationInvalid(
                f"Agent '{agent.name[:80]}' has '{call[:100]}' twice: {known[call]} and {what}.",
                hint="Give one of the agents another name, and name each in 'handoffs' once.",
            )
        known[call] = what


class _Team:
    def __init__(self, context: RuntimeExecutionContext, turn: Turn, model: Model, settings: ModelSettings) -> None:
        self._tools = {tool.name: function_tool(tool, turn) for tool in context.tools}
        self._model = model
        self._settings = settings

    def member(self, name: str, described: Specialist) -> Agent[Any]:
        wanted = list(self._tools) if described.tools is None else described.tools
        return Agent(
            name=name,
            instructions=described.instructions or None,
            handoff_description=described.handoff_description,
            tools=[_named(self._tools, tool, f"Agent '{name}'", "tool") for tool in wanted],
            model=self._model,
            model_settings=self._settings,
        )


def _specialists(described: Mapping[str, Any]) -> Mapping[str, Specialist]:
    try:
        return _SPECIALISTS.validate_python(described)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationInvalid(f"runtime_config.agents.{where}: {first['msg']}.") from error


def _named(known: Mapping[str, Any], name: str, who: str, what: str) -> Any:
    if name not in known:
        raise ConfigurationInvalid(f"{who} names the {what} '{name[:80]}', which there is not. {guess(name, known)}")
    return known[name]
