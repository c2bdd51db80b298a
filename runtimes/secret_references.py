"""References to secrets, as definitions hold them: `{"secret": "NAME"}`."""

from typing import Any, cast


def secret_named(value: Any) -> str | None:
    """The name of the secret that a value refers to; None where it is no reference."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, Any]", value)
    name = fields.get("secret")
    return name if len(fields) == 1 and isinstance(name, str) else None
