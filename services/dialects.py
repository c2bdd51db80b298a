"""The dialects of providers of one wire: fields and roles that some of them refuse, in other words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast
from urllib.parse import urlsplit


class OutputLimit(StrEnum):
    """Names of the limit of an answer's tokens."""

    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"


class SystemRole(StrEnum):
    """Names of the role that instructs the model."""

    SYSTEM = "system"
    DEVELOPER = "developer"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The dialect of a provider on the OpenAI wire; a part that is None goes out as a framework wrote it."""

    stream_options: bool | None = None
    output_limit: OutputLimit | None = None
    system_role: SystemRole | None = None

    def beneath(self, other: "Dialect") -> "Dialect":
        """The other one, and where that says nothing, this one."""
        said = {name: value for name in self.__slots__ if (value := getattr(other, name)) is not None}
        return replace(self, **said)

    def changes(self, other: "Dialect") -> set[str]:
        """The fields in which another one differs."""
        return {name for name in self.__slots__ if getattr(self, name) != getattr(other, name)}

    def spoken(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A request's body in this dialect; the very same one if there is nothing to change."""
        changed = {**body, **self._instructed(body)}
        if self.stream_options is False:
            changed.pop("stream_options", None)
        if self.output_limit is not None:
            _limit(changed, self.output_limit)
        return body if changed == body else changed

    def _instructed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The messages, with the role of those that instruct the model."""
        role, messages = self.system_role, body.get("messages")
        if role is None or not isinstance(messages, list):
            return {}
        return {"messages": [_as(role, message) for message in cast("list[Any]", messages)]}


#: Dialects of vendors, by the end of their host's name.
VENDORS: Mapping[str, Dialect] = {
    "api.openai.com": Dialect(stream_options=True, output_limit=OutputLimit.MAX_COMPLETION_TOKENS),
    "api.mistral.ai": Dialect(False, OutputLimit.MAX_TOKENS, SystemRole.SYSTEM),
    "api.deepseek.com": Dialect(True, OutputLimit.MAX_TOKENS, SystemRole.SYSTEM),
    "generativelanguage.googleapis.com": Dialect(system_role=SystemRole.SYSTEM),
    "api.groq.com": Dialect(output_limit=OutputLimit.MAX_COMPLETION_TOKENS, system_role=SystemRole.SYSTEM),
    "api.cerebras.ai": Dialect(output_limit=OutputLimit.MAX_COMPLETION_TOKENS, system_role=SystemRole.SYSTEM),
    "api.together.xyz": Dialect(output_limit=OutputLimit.MAX_TOKENS, system_role=SystemRole.SYSTEM),
    "api.fireworks.ai": Dialect(output_limit=OutputLimit.MAX_TOKENS, system_role=SystemRole.SYSTEM),
    "api.cohere.ai": Dialect(output_limit=OutputLimit.MAX_TOKENS, system_role=SystemRole.SYSTEM),
    "api.moonshot.ai": Dialect(output_limit=OutputLimit.MAX_TOKENS, system_role=SystemRole.SYSTEM),
    "dashscope.aliyuncs.com": Dialect(output_limit=OutputLimit.MAX_TOKENS, system_role=SystemRole.SYSTEM),
    "dashscope-intl.aliyuncs.com": Dialect(output_limit=OutputLimit.MAX_TOKENS, system_role=SystemRole.SYSTEM),
}


def vendors_dialect(base_url: str) -> Dialect:
    """The dialect of the vendor behind an address."""
    host = urlsplit(base_url).hostname or ""
    return VENDORS.get(host, Dialect())


def _limit(body: dict[str, Any], name: OutputLimit) -> None:
    """Give the limit one name; where there are two, that of newer requests says more."""
    said = [body.pop(each) for each in OutputLimit if each in body]
    if said:
        body[name.value] = said[-1]


def _as(role: SystemRole, message: Any) -> Any:
    said = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
    if said.get("role") not in set(SystemRole):
        return cast("Any", message)
    return {**said, "role": role.value}
