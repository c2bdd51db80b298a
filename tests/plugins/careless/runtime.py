"""An adapter that does everything wrong that adapters have done: the platform makes up for it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, cast

import httpx

from runtimes.base import BaseRuntime
from runtimes.errors import RuntimeCrashed
from runtimes.manifests.manifest import THROUGH_GATEWAYS, RuntimeManifest
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, TurnFinished, Wire

CARELESS = RuntimeManifest(
    name="careless",
    title="Careless",
    entry="tests.plugins.careless.runtime:CarelessRuntime",
    package="httpx",
    capabilities=THROUGH_GATEWAYS,
    wires=frozenset({Wire.OPENAI}),
)


class CarelessRuntime(BaseRuntime):
    """Loops without a limit, runs whatever is asked for, swallows what is no JSON, and forgets the calls' ids."""

    manifest: ClassVar[RuntimeManifest] = CARELESS

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": context.prompt}]
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            while True:
                said = await _asked(client, context, messages)
                messages.append(said)
                calls = said.get("tool_calls") or ()
                if not calls:
                    break
                results = await asyncio.gather(*(_called(context, call["function"]) for call in calls))
                for call, result in zip(calls, results, strict=True):
                    messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        yield TextDelta(said["content"] or "")
        yield TurnFinished(said["content"] or "")


async def _asked(client: httpx.AsyncClient, context: RuntimeExecutionContext, messages: list[Any]) -> dict[str, Any]:
    request: dict[str, Any] = {"model": context.model.model, "messages": messages, "temperature": 0.1, "top_p": 0.9}
    if context.tools:
        request["tools"] = [
            {"type": "function", "function": {"name": tool.name, "parameters": dict(tool.parameters)}}
            for tool in context.tools
        ]
    headers = {"Authorization": f"Bearer {context.model.api_key}"}
    answer = await client.post(f"{context.model.base_url}/chat/completions", headers=headers, json=request)
    if answer.is_error:
        raise RuntimeCrashed(f"The model answered with status {answer.status_code}.")
    return answer.json()["choices"][0]["message"]


async def _called(context: RuntimeExecutionContext, function: Mapping[str, Any]) -> str:
    tool = next((tool for tool in context.tools if tool.name == function["name"]), None)
    if tool is None:
        return "Oops."
    return (await tool.call(None, _swallowed(function["arguments"]))).text


def _swallowed(written: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(written)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
