"""The agent that the first `holdfast run` talks to."""

from collections.abc import Mapping
from typing import Any

import httpx

from control_plane.settings import ProviderSettings

NAME = "demo"
#: Used for a provider that lists no models of its own.
USUAL_MODELS = {"openai": "gpt-5.4-mini", "anthropic": "claude-sonnet-5-5"}


class DemoUnavailable(Exception):
    """The demo agent could not be made; the message says why."""


def demo_model(providers: Mapping[str, ProviderSettings]) -> str | None:
    """`provider/model` of the first provider with a known model."""
    for name, provider in providers.items():
        if model := next(iter(provider.models), USUAL_MODELS.get(name)):
            return f"{name}/{model}"
    return None


class DemoAgent:
    """Makes the demo agent through the API, and keeps its model one that can be reached."""

    def __init__(self, client: httpx.AsyncClient, *, api_url: str, api_key: str) -> None:
        self._client = client
        self._agents = f"{api_url}/api/v1/agents"
        self._headers = {"Authorization": f"Bearer {api_key}"}

    async def ensure(self, providers: Mapping[str, ProviderSettings]) -> str | None:
        """Give the demo agent's model, or None where no provider has a known model.

        Raises:
            DemoUnavailable: the API refused.
        """
        model = demo_model(providers)
        if model is None:
            return None
        response = await self._client.get(f"{self._agents}/{NAME}", headers=self._headers)
        if response.status_code == 404:
            return await self._send("POST", self._agents, _definition(model))
        current = str(_checked(response)["model_id"])
        if current.partition("/")[0] in providers:
            return current
        return await self._send("PATCH", f"{self._agents}/{NAME}", {"model_id": model})

    async def _send(self, method: str, url: str, body: dict[str, Any]) -> str:
        response = await self._client.request(method, url, headers=self._headers, json=body)
        return str(_checked(response)["model_id"])


def _definition(model: str) -> dict[str, Any]:
    return {
        "name": NAME,
        "description": "Made by `holdfast up`.",
        "runtime": "default",
        "model_id": model,
        "system_prompt": "You are a helpful assistant. Answer briefly.",
    }


def _checked(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        raise DemoUnavailable(f"The demo agent was not made: HTTP {response.status_code} {response.text[:300]}")
    return response.json()
