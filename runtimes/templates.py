"""Templates of agents: presets, and which runtimes suit them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from runtimes.types import Capability, RuntimeType


class AgentType(StrEnum):
    """What an agent is for; `generic-<type>` is the template of all that are for it."""

    CONVERSATION = "conversation"
    TASK = "task"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Template:
    """A preset: `preferred` runtimes, the best first; `required` capabilities; what agents begin with."""

    name: str
    type: AgentType
    title: str = ""
    description: str = ""
    preferred: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])


def generic(kind: AgentType) -> str:
    """The name of the template that stands behind all of a type."""
    return f"generic-{kind}"


_CUSTOMER_SERVICE = """\
You answer customers. Be friendly, short and exact. Say so when you do not know something, and never invent an order, \
a price or a promise. Where a tool can look something up, use it before you answer."""
_CHAT = "You are a helpful assistant. Answer in the language of the question, and ask when it can be read in two ways."
_TASK = """\
You carry out tasks. Plan first, then do one step after the other with your tools, and check each result. Report at \
the end what was done, what was not, and why."""
_WORKFLOW = """\
You lead a workflow. Divide the task, give each part to whoever does it best, check what comes back, and put the whole \
together."""
_CODE = """\
You write and run code. Read before you change, make small changes, run what you have written, and report \
what you saw."""

#: The templates that every organization has, by name.
BUILT_IN: Mapping[str, Template] = {
    template.name: template
    for template in (
        Template(
            name="customer-service-bot",
            type=AgentType.CONVERSATION,
            title="Customer service",
            description="Answers customers' questions and looks things up for them.",
            preferred=(RuntimeType.LANGGRAPH, "crewai"),
            required=(Capability.STREAMING, Capability.TOOLS),
            defaults={"system_prompt": _CUSTOMER_SERVICE, "configuration": {"temperature": 0.2}},
        ),
        Template(
            name="chat-assistant",
            type=AgentType.CONVERSATION,
            title="Chat assistant",
            description="Talks with people.",
            preferred=(RuntimeType.DEFAULT, "openai_agents"),
            required=(Capability.STREAMING,),
            defaults={"system_prompt": _CHAT},
        ),
        Template(
            name="task-execution-bot",
            type=AgentType.TASK,
            title="Task execution",
            description="Carries out tasks with tools and files.",
            preferred=("crewai", RuntimeType.LANGGRAPH),
            required=(Capability.TOOLS,),
            defaults={
                "system_prompt": _TASK,
                "toolsets": [{"type": "file_system"}],
                "configuration": {"budget": {"model_calls": 50}},
            },
        ),
        Template(
            name="workflow-agent",
            type=AgentType.TASK,
            title="Workflow",
            description="Leads several agents through a piece of work.",
            preferred=("crewai", RuntimeType.LANGGRAPH),
            required=(Capability.MULTI_AGENT,),
            defaults={"system_prompt": _WORKFLOW, "configuration": {"budget": {"model_calls": 100}}},
        ),
        Template(
            name="custom-code-agent",
            type=AgentType.CUSTOM,
            title="Code",
            description="Writes code and runs it.",
            preferred=(RuntimeType.CLAUDE_CODE,),
            required=(Capability.CODE_EXECUTION,),
            defaults={"system_prompt": _CODE, "toolsets": [{"type": "file_system"}, {"type": "shell"}]},
        ),
        Template(
            name="generic-conversation",
            type=AgentType.CONVERSATION,
            title="Any conversation",
            description="Behind every template of type conversation.",
            preferred=(RuntimeType.DEFAULT, RuntimeType.LANGGRAPH, RuntimeType.NATIVE),
            required=(Capability.STREAMING,),
        ),
        Template(
            name="generic-task",
            type=AgentType.TASK,
            title="Any task",
            description="Behind every template of type task.",
            preferred=(RuntimeType.DEFAULT, RuntimeType.LANGGRAPH, RuntimeType.NATIVE),
            required=(Capability.TOOLS,),
        ),
        Template(
            name="generic-custom",
            type=AgentType.CUSTOM,
            title="Anything else",
            description="Behind every template of type custom.",
            preferred=(RuntimeType.NATIVE, RuntimeType.DEFAULT),
        ),
    )
}
