"""The work of a process of its own: its input is a tenant's, and its time or memory may have no bound."""

import json
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from services.bounded.schemas import compiled, first_mistakes
from services.tools.web_pages import text_of
from services.tools.workspace import Workspace


def mistakes(payload: bytes, most: int, length: int) -> Any:
    """Find the mistakes of a value against a schema; both are in the payload."""
    schema, value = json.loads(payload)
    return first_mistakes(compiled(schema), value, most, length)


def page_text(payload: bytes, content_type: str, charset: str | None) -> Any:
    """Read the text of a page."""
    return text_of(payload, content_type, charset)


def found_lines(payload: bytes, root: str, pattern: str, most: int, length: int) -> Any:
    """Lines of a workspace's files that a regular expression finds."""
    found = islice(Workspace(Path(root)).search(payload.decode(), pattern), most)
    return [(path, number, line[:length]) for path, number, line in found]


JOBS: Mapping[str, Callable[..., Any]] = {each.__name__: each for each in (mistakes, page_text, found_lines)}
