"""The adapter: here, and only here, the framework is imported."""

import json
from collections.abc import AsyncGenerator
from typing import Any, ClassVar

import httpx

from runtimes.base import BaseRuntime
from runtimes.errors import RuntimeCrashed
from runtimes.finish_reasons import finish_of
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import RuntimeEvent, RuntimeExecutionContext, TextDelta, TurnFinished

from .manifest import ONESHOT


class OneShotRuntime(BaseRuntime):
    """Asks the model once; the setting `suffix` is added to the prompt."""

    manifest: ClassVar[RuntimeManifest] = ONESHOT

    async def stream(self, context: RuntimeExecutionContext) -> AsyncGenerator[RuntimeEvent, None]:
        """Run one turn."""
        text, finish = "", None
        async with httpx.AsyncClient(timeout=None, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {context.model.api_key}"}
            url = f"{context.model.base_url}/chat/completions"
            async with client.stream("POST", url, headers=headers, json=_request(context)) as answer:
                if answer.is_error:
                    raise RuntimeCrashed(f"The model answered with status {answer.status_code}.")
                async for line in answer.aiter_lines():
                    choice = _choice(line)
                    finish = choice.get("finish_reason") or finish
                    if piece := choice.get("delta", {}).get("content"):
                        text += piece
                        yield TextDelta(piece)
        yield TurnFinished(text, finish_of(finish))


def _request(context: RuntimeExecutionContext) -> dict[str, Any]:
    settings = context.configuration.get("runtime_config", {})
    system = [{"role": "system", "content": context.system_prompt}] if context.system_prompt else []
    history = [message.model_dump() for message in context.history]
    prompt = {"role": "user", "content": context.prompt + settings.get("suffix", "")}
    parameters = {
        name: context.configuration[name] for name in ("temperature", "max_tokens") if name in context.configuration
    }
    return {
        "model": context.model.model,
        "messages": [*system, *history, prompt],
        "stream": True,
        "stream_options": {"include_usage": True},
        **parameters,
    }


def _choice(line: str) -> dict[str, Any]:
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return {}
    choices = json.loads(data)["choices"]
    return choices[0] if choices else {}
