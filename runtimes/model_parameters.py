"""Parameters of models that agents may set, by their names in an agent's configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

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
