"""The arguments of a tool call, as models write them."""

import json
from collections.abc import Mapping
from typing import Any, cast

from runtimes.depth import is_deep


def decoded(arguments: str) -> Mapping[str, Any] | str:
    """A tool call's arguments as a JSON object; the raw text where they are none, or are nested too deeply."""
    try:
        found: Any = json.loads(arguments or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return arguments
    return cast("dict[str, Any]", found) if isinstance(found, dict) and not is_deep(found) else arguments


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
