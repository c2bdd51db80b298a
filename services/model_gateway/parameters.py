"""Parameters of sampling that nobody asked for: frameworks add some of their own, and no provider gets those."""

from collections.abc import Mapping
from typing import Any

#: What changes how a model speaks; what it needs, such as the most tokens of an answer, is a framework's to say.
SAMPLING = frozenset({"temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"})


def unasked(configuration: Mapping[str, Any]) -> frozenset[str]:
    """Those that an agent's definition does not set."""
    return frozenset(name for name in SAMPLING if configuration.get(name) is None)


def without(body: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """A request's body without some parameters; the same one if it has none of them."""
    return body if names.isdisjoint(body) else {name: value for name, value in body.items() if name not in names}
