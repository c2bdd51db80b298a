"""Parameters of models that agents may set, by their names in an agent's configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtimes.types import ModelEndpoint

OPENAI = (
    "temperature",
    "max_tokens",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
)
ANTHROPIC = ("temperature", "max_tokens", "top_p", "top_k", "stop")


def given(configuration: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those that the configuration sets."""
    return {name: configuration[name] for name in names if configuration.get(name) is not None}


def of_openai(configuration: Mapping[str, Any], endpoint: ModelEndpoint) -> dict[str, Any]:
    """Those of chat completions; OpenAI itself has another name for the most tokens of an answer."""
    found = given(configuration, OPENAI)
    if endpoint.provider == "openai" and "max_tokens" in found:
        found["max_completion_tokens"] = found.pop("max_tokens")
    return found
