"""Graphs as users write them."""
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false

import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt

__all__ = ["create_agent"]
not_a_graph = 42


class Wordless(TypedDict):
    number: Annotated[int, operator.add]


def parts(config: RunnableConfig) -> tuple[BaseChatModel, list[BaseTool]]:
    configurable = config["configurable"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    return configurable["model"], configurable["tools"]


async def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """Ask the model, with the tools there are."""
    model, tools = parts(config)
    return {"messages": [await model.bind_tools(tools).ainvoke(state["messages"])]}


def ask_and_block(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """The same without coroutines."""
    model, tools = parts(config)
    facts = [tool.invoke({"q": 7}) for tool in tools]
    return {"messages": [model.invoke([("system", f"Facts: {facts}"), *state["messages"]])]}


async def ask_wrongly(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    return {"messages": [parts(config)[0].invoke(state["messages"])]}


async def run_tools(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    return await ToolNode(parts(config)[1]).ainvoke(state)


async def plan_and_wait(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
    """Asks the model, calls a tool and then a human, all in one node: the worst case of running again."""
    model, tools = parts(config)
    plan = await model.ainvoke(state["messages"])
    done = await tools[0].ainvoke({"q": 1})
    decision = interrupt({"plan": plan.text, "done": done})
    return {"messages": [AIMessage(f"{plan.text} {done}: {decision['type']} {decision.get('message', '')}".strip())]}


def crash(_: MessagesState) -> dict[str, Any]:
    raise LookupError("no such shelf")


async def finish(state: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(f"In short: {state['messages'][-1].text}")]}


async def review(_: MessagesState) -> dict[str, Any]:
    return {"messages": [AIMessage(f"left {interrupt({'side': 'left'})['type']}")]}


async def review_twice(_: MessagesState) -> dict[str, Any]:
    first, second = interrupt("right, first")["type"], interrupt("right, second")["type"]
    return {"messages": [AIMessage(f"right {first} {second}")]}


def one_node(node: Any) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_node("only", node)
    graph.add_edge(START, "only")
    return graph


def agent_loop() -> StateGraph[Any]:
    """An agent by hand, as every tutorial builds it."""
    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("tools", run_tools)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    return graph


def side_by_side(left: Any, right: Any, last: Any = None) -> StateGraph[Any]:
    graph = StateGraph(MessagesState)
    graph.add_node("left", left)
    graph.add_node("right", right)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    if last is not None:
        graph.add_node("last", last)
        graph.add_edge(["left", "right"], "last")
    return graph


def endless(node: Any) -> StateGraph[Any]:
    graph = one_node(node)
    graph.add_edge("only", "only")
    return graph


async def silent(_: MessagesState) -> dict[str, Any]:
    return {}


async def count(state: Wordless) -> dict[str, int]:
    return {"number": state["number"]}


def wordless() -> StateGraph[Any]:
    graph = StateGraph(Wordless)
    graph.add_node("only", count)
    graph.add_edge(START, "only")
    return graph


builder = agent_loop()
compiled = agent_loop().compile(checkpointer=InMemorySaver())
blocking = one_node(ask_and_block)
wrong = one_node(ask_wrongly)
planning = one_node(plan_and_wait)
crashing = one_node(crash)
two_reviews = side_by_side(review, review_twice)
two_answers = side_by_side(ask, ask, finish)
asks_for_ever = endless(ask)
spins_for_ever = endless(silent)
without_answer = one_node(silent)
without_messages = wordless()
with_breakpoint = agent_loop().compile(interrupt_before=["tools"])
nested = one_node(agent_loop().compile())


def factory(model: BaseChatModel, tools: Sequence[BaseTool]) -> Any:
    return create_agent(model, tools)


async def async_factory(*, model: BaseChatModel, configuration: Mapping[str, Any], system_prompt: str) -> Any:
    return create_agent(model, [own_tool], system_prompt=f"{configuration['mood']} {system_prompt}")


def guarded(config: RunnableConfig, mode: Any = "batched") -> Any:
    """Every call of a tool is put to a human."""
    model, tools = parts(config)
    rule: Any = {"lookup": {"allowed_decisions": ["approve", "reject"]}}
    middleware = HumanInTheLoopMiddleware(rule, interrupt_mode=mode)
    return create_agent(model, tools, middleware=[middleware])


def guarded_each(config: RunnableConfig) -> Any:
    return guarded(config, "per_call")


def misspelt(modle: Any) -> Any:
    return modle


def lost() -> None:
    return None


@tool
def own_tool(word: str) -> str:
    """Say it backwards."""
    if not word:
        raise ValueError(END)
    return word[::-1]


def look_up(q: int) -> str:
    """Look something up."""
    return f"{q} of 42"
