"""What the application answers, read from itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from tests.control_plane.api.organizations import UNKNOWN

_PARAMETER = re.compile(r"\{(\w+)\}")

#: Parameters that are no ids.
PLAIN = {"attempt": "1", "name": "default", "turn": "1", "ordinal": "1"}


@dataclass(frozen=True)
class Route:
    """One operation; `name` is that of its function."""

    method: str
    path: str
    name: str

    @property
    def parameters(self) -> list[str]:
        """The names in its path."""
        return _PARAMETER.findall(self.path)

    def url(self, **ids: str) -> str:
        """Its path with ids filled in; those not given are unknown ones."""
        return _PARAMETER.sub(lambda match: ids.get(match[1], PLAIN.get(match[1], UNKNOWN)), self.path)


def routes(app: FastAPI) -> Iterator[Route]:
    """Every operation, in the OpenAPI document or not."""
    for context in iter_route_contexts(app.routes):
        for method in sorted((context.methods or set()) - {"HEAD"}):
            yield Route(method, str(context.path), str(context.name))
