"""The arguments of a tool call, as models write them."""

import json
from collections.abc import Mapping
from typing import Any, cast


def decoded(arguments: str) -> Mapping[str, Any] | str:
    """A tool call's arguments as a JSON object, or the raw text where they are none."""
    try:
        found: Any = json.loads(arguments or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return arguments
    return cast("dict[str, Any]", found) if isinstance(found, dict) else arguments


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
