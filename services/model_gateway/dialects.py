"""Dialects of the models in use: as set, as their vendors speak, or as learnt from a refusal."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from runtimes.types import ModelEndpoint, Wire
from services.dialects import Dialect, OutputLimit, SystemRole, vendors_dialect
from services.model_gateway.wires.wire import items

_UNWANTED = re.compile(
    r"n.t support|not support|unsupported|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra inputs"
    r"|additional propert|invalid (field|argument|parameter|role|value)|not (a valid|valid|one of)|no such",
    re.IGNORECASE,
)
#: What is refused for its value is not refused for its name.
_VALUE = re.compile(r"too (large|big|small|high|low)|at most|at least|less than|greater than", re.IGNORECASE)
#: Roles, the refusals that name them, and the roles that are meant.
_ROLES = (
    (SystemRole.DEVELOPER, re.compile(r"\bdeveloper\b", re.IGNORECASE), SystemRole.SYSTEM),
    (SystemRole.SYSTEM, re.compile(r"\brole\b.{0,40}\bsystem\b", re.IGNORECASE), SystemRole.DEVELOPER),
)


class Dialects:
    """The dialects by provider and model; `settings` tell a provider's own, which nothing that is learnt overrides."""

    def __init__(self, settings: Callable[[str], Dialect]) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], Dialect] = {}

    def of(self, endpoint: ModelEndpoint) -> Dialect:
        """The dialect in which a model is asked."""
        if endpoint.wire is not Wire.OPENAI:
            return Dialect()
        known = self._known.get((endpoint.provider, endpoint.model))
        return known or vendors_dialect(endpoint.base_url).beneath(self._settings(endpoint.provider))

    def keep(self, endpoint: ModelEndpoint, dialect: Dialect) -> None:
        """Ask the model so from now on."""
        self._known[endpoint.provider, endpoint.model] = dialect

    def forget(self, endpoint: ModelEndpoint, learnt: Dialect, before: Dialect) -> None:
        """Ask the model as before if what was learnt did not help."""
        if learnt is not before and self.of(endpoint) == learnt:
            self.keep(endpoint, before)

    def learnt(
        self, endpoint: ModelEndpoint, before: Dialect, spoken: Dialect, sent: Mapping[str, Any], refusal: str
    ) -> Dialect | None:
        """Another dialect in which a request that was refused may be taken; None if the refusal is about none.

        `before` is the dialect in which the call was made first: each field is tried in one other way.
        """
        if endpoint.wire is not Wire.OPENAI or _VALUE.search(refusal):
            return None
        found = _corrected(spoken, sent, refusal)
        is_set_otherwise = found != found.beneath(self._settings(endpoint.provider))
        is_known = found == spoken or found.changes(spoken) & before.changes(spoken)
        return None if is_set_otherwise or is_known else found


def _corrected(spoken: Dialect, sent: Mapping[str, Any], refusal: str) -> Dialect:
    corrections = _corrections(sent, refusal) if _UNWANTED.search(refusal) else iter(())
    unchanged: dict[str, Any] = {}
    return replace(spoken, **next(corrections, unchanged))


def _corrections(sent: Mapping[str, Any], refusal: str) -> Iterator[dict[str, Any]]:
    """Find the parts of the request that the refusal names, in other words."""
    if "stream_options" in sent and "stream_options" in refusal:
        yield {"stream_options": False}
    for name, other in zip(OutputLimit, reversed(OutputLimit), strict=True):
        if name in sent and re.search(rf"\b{name}\b", refusal):
            yield {"output_limit": other}
    yield from _roles(sent, refusal)


def _roles(sent: Mapping[str, Any], refusal: str) -> Iterator[dict[str, Any]]:
    roles = {message.get("role") for message in items(sent.get("messages"))}
    for role, pattern, other in _ROLES:
        if role in roles and pattern.search(refusal):
            yield {"system_role": other}
