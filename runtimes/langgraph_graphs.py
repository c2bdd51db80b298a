"""The graph of a turn: LangChain's prebuilt agent, or the user's own by import path."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs]

from runtimes.errors import ConfigurationInvalid
from runtimes.import_paths import object_at
from runtimes.langgraph_tools import GatewayTool, UnknownTools
from runtimes.langgraph_turn import Turn, max_turns
from runtimes.meant import meant
from runtimes.types import RuntimeExecutionContext

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
#: Steps that a graph may take per model call of `max_turns`: what ends loops that call no model.
_STEPS = 10


@dataclass(frozen=True, slots=True)
class Parts:
    """What a user's graph may use: a factory takes them as parameters, a node finds them in `config["configurable"]`.

    `configuration` is the agent's. The system prompt leads the messages, unless a factory takes it. Model and tools
    go through the gateways; what nodes do beside them is theirs, and done again in every attempt.
    """

    model: BaseChatModel
    tools: Sequence[GatewayTool]
    system_prompt: str
    configuration: Mapping[str, Any]

    def named(self) -> dict[str, Any]:
        """The parts by name."""
        return {
            "model": self.model,
            "tools": list(self.tools),
            "system_prompt": self.system_prompt,
            "configuration": self.configuration,
        }


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph with its input and its configuration, ready to be run."""

    graph: Any
    messages: list[BaseMessage]
    config: dict[str, Any]
    path: str = ""


async def prepared(context: RuntimeExecutionContext, turn: Turn, parts: Parts) -> Prepared:
    """The graph that the agent's configuration wants.

    The prebuilt agent has no checkpointer: a later attempt runs it again from its start, out of the journal. A
    user's graph has one in memory, for its interrupts; the attempt that follows a decision runs it again, too.

    Raises:
        ConfigurationInvalid: there is no such graph, or none that can be run.
    """
    settings: Mapping[str, Any] = context.configuration.get("runtime_config") or {}
    history = [_message(message.role, message.content) for message in context.history]
    messages = [*history, HumanMessage(context.prompt)]
    config = {"recursion_limit": _STEPS * (max_turns(context) + 1)}
    path: str = settings.get("graph", "")
    if not path:
        system_prompt = context.system_prompt or None
        agent: Any = create_agent(
            parts.model, list(parts.tools), system_prompt=system_prompt, middleware=[UnknownTools(turn)]
        )
        return Prepared(agent, messages, config)
    found = object_at(path, context.modules, "graph")
    graph = _compiled(path, await _made(path, found, parts, config))
    takes_prompt = inspect.isfunction(found) and "system_prompt" in inspect.signature(found).parameters
    leading = [SystemMessage(context.system_prompt)] if context.system_prompt and not takes_prompt else []
    thread = {"thread_id": f"{context.execution_id}.{context.turn}"}
    return Prepared(graph, [*leading, *messages], {**config, "configurable": {**parts.named(), **thread}}, path)


def _message(role: str, content: str) -> BaseMessage:
    return AIMessage(content) if role == "assistant" else HumanMessage(content)


async def _made(path: str, found: Any, parts: Parts, config: Mapping[str, Any]) -> Any:
    """The graph itself, or what its factory gives."""
    if not inspect.isfunction(found):
        return found
    if found.__module__ != path.partition(":")[0]:
        raise ConfigurationInvalid(f"'{path}' is a function that its module only imports.", hint="Name it where it is.")
    configurable = {"config": {**config, "configurable": parts.named()}}
    made = found(**_arguments(path, found, {**parts.named(), **configurable}))
    return await made if inspect.isawaitable(made) else made


def _arguments(path: str, factory: Callable[..., Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the known values that the factory has a parameter for."""
    parameters = inspect.signature(factory).parameters.values()
    for parameter in parameters:
        if parameter.name not in known and parameter.default is parameter.empty and parameter.kind in _NAMED:
            told = f"Nobody can fill parameter '{parameter.name}' of '{path}'. {meant(parameter.name, known)}"
            hint = f"What a graph's function may take: {', '.join(known)}."
            raise ConfigurationInvalid(told.rstrip(), hint=hint)
    return {each.name: known[each.name] for each in parameters if each.name in known}


def _compiled(path: str, made: Any) -> Any:
    if isinstance(made, StateGraph):
        graph: Any = made.compile(checkpointer=InMemorySaver())
    elif isinstance(made, Pregel):
        graph = made.copy({"checkpointer": InMemorySaver()})
    else:
        raise ConfigurationInvalid(
            f"'{path}' is no graph but {type(made).__name__}.",
            hint="Name a compiled graph, a StateGraph, or a function that gives one of them.",
        )
    if "messages" not in graph.channels:
        raise ConfigurationInvalid(f"The state of graph '{path}' has no 'messages'.", hint="Start from MessagesState.")
    if graph.interrupt_before_nodes or graph.interrupt_after_nodes:
        raise ConfigurationInvalid(
            f"Graph '{path}' has breakpoints (interrupt_before, interrupt_after).",
            hint="Call interrupt() in a node instead: then there is something to approve.",
        )
    return graph
