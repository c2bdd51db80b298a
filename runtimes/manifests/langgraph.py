"""The LangGraph runtime: LangChain's prebuilt agent, or a graph of the user's own."""

from runtimes.manifests.manifest import COUNT, TEXT, THROUGH_GATEWAYS, RuntimeManifest
from runtimes.types import Capability, RuntimeType, Wire

LANGGRAPH = RuntimeManifest(
    name=RuntimeType.LANGGRAPH.value,
    title="LangGraph",
    entry="runtimes.langgraph_runtime:LangGraphRuntime",
    extra="langgraph",
    package="langgraph",
    versions=">=1.2.22,<1.3",
    capabilities=THROUGH_GATEWAYS | {Capability.STREAMING, Capability.MULTI_AGENT},
    wires=frozenset({Wire.OPENAI, Wire.ANTHROPIC}),
    templates=frozenset(
        {"workflow-agent", "task-execution-bot", "generic-conversation", "generic-task", "generic-custom"}
    ),
    settings={"max_turns": COUNT, "tool_call_limit": COUNT, "graph": TEXT},
    code=frozenset({"graph"}),
    environment={
        "LANGSMITH_TRACING": "false",
        "LANGSMITH_TRACING_V2": "false",
        "LANGCHAIN_TRACING_V2": "false",
        "LANGCHAIN_TRACING": "false",
        "LANGSMITH_OTEL_ENABLED": "false",
        "LANGCHAIN_CALLBACKS_BACKGROUND": "false",
        "LC_OUTPUT_VERSION": "v0",
        "OPENAI_CUSTOM_HEADERS": "",
        "ANTHROPIC_CUSTOM_HEADERS": "",
    },
)
