"""The depth of a value: models may write one that is deeper than any other program reads."""

from typing import Any, cast

#: Objects and lists within one another, as in the bodies that the API takes.
LEVELS = 64


def is_deep(value: Any, most: int = LEVELS) -> bool:
    """Whether there are more objects and lists within one another than the most."""
    level = [value]
    for _ in range(most + 1):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _inside(each)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    """Its values; an empty list or object is a level too."""
    return [*cast("dict[str, Any]", value).values(), None] if isinstance(value, dict) else [*value, None]
