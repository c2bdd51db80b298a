"""What is known of a runtime without importing its framework."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, NoReturn, TypeVar

import jsonschema_rs
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from runtimes.meant import guess
from runtimes.secret_references import secret_named
from runtimes.types import Capability, Wire

#: The version of the contract between Holdfast and adapters: `runtimes.base` and `runtimes.types`.
CONTRACT = 1
#: A runtime's name is part of paths, queues and labels.
RUNTIME_NAME = r"[a-z][a-z0-9_-]{0,62}"
#: What every runtime can do whose calls pass the gateways: MCP tools come as ordinary ones, the executor checks
#: output against its schema, the journal answers a turn that goes on, and the control plane keeps the session.
THROUGH_GATEWAYS = frozenset(
    {
        Capability.TOOLS,
        Capability.MCP,
        Capability.MEMORY,
        Capability.STRUCTURED_OUTPUT,
        Capability.HITL,
        Capability.RESUME,
    }
)

JsonSchema = Mapping[str, Any]
#: Schemas of usual settings.
COUNT: JsonSchema = {"type": "integer", "minimum": 1}
AMOUNT: JsonSchema = {"type": "number", "exclusiveMinimum": 0}
TEXT: JsonSchema = {"type": "string"}
FLAG: JsonSchema = {"type": "boolean"}
OBJECT: JsonSchema = {"type": "object"}
#: Settings of every runtime that calls a model: the gateways keep them.
LIMITS: Mapping[str, JsonSchema] = {"max_turns": COUNT, "tool_call_limit": COUNT}

#: Characters of a complaint about a setting: it repeats the value.
_COMPLAINT_LIMIT = 300

T = TypeVar("T", bound=str)


def _is_specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as invalid:
        raise ValueError(f"'{text}' is no version specifier (PEP 440); for example: >=1.2,<1.3") from invalid
    return text


def _is_schema(schema: JsonSchema) -> JsonSchema:
    _validator(schema)
    return schema


def _in_order(names: frozenset[T]) -> list[T]:
    return sorted(names)


Specifier = Annotated[str, AfterValidator(_is_specifier)]
Setting = Annotated[JsonSchema, AfterValidator(_is_schema)]
Names = Annotated[frozenset[str], PlainSerializer(_in_order)]


class RuntimeManifest(BaseModel):
    """A runtime's declaration; travels as JSON to where the runtime is not installed.

    `entry` is `module:Class` of the adapter. `distribution` carries it, with `extra` also the framework, whose own
    distribution is `package`. `versions` (of the package) and `python` are PEP 440 specifiers, empty for any.
    `settings` are JSON schemas of an agent's `runtime_config`, by name; one that is `writeOnly` is a secret.
    `templates` are those that it suits, `weight` is its say in the resolver. `own_toolsets` are the types of toolset
    that the framework brings itself; `memory_mb` and `slots` are per turn and per worker; `environment` is set before
    the framework is imported. `differs` names scenarios of the conformance suite in which the framework cannot do as
    the others do, each with the reason. `code` are settings that name code of the user's: it may set a model's
    parameters itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{RUNTIME_NAME}$")]
    title: str
    entry: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    package: str
    distribution: str = "holdfast"
    extra: str = ""
    versions: Specifier = ""
    python: Specifier = ">=3.11"
    contract: int = CONTRACT
    capabilities: Annotated[frozenset[Capability], PlainSerializer(_in_order)]
    wires: Annotated[frozenset[Wire], PlainSerializer(_in_order)]
    templates: Names = frozenset()
    weight: int = 0
    settings: Mapping[str, Setting] = Field(default_factory=dict[str, Setting])
    environment: Mapping[str, str] = Field(default_factory=dict[str, str])
    own_toolsets: Names = frozenset()
    differs: Mapping[str, str] = Field(default_factory=dict[str, str])
    code: Names = frozenset()
    memory_mb: Annotated[int, Field(ge=1)] = 10
    slots: Annotated[int, Field(ge=1)] = 100

    @property
    def requirement(self) -> str:
        """What has to be installed for it, as pip and uv name it."""
        return f"{self.distribution}[{self.extra}]" if self.extra else self.distribution

    @property
    def secret_settings(self) -> frozenset[str]:
        """The settings that definitions refer to secrets for."""
        return frozenset(name for name, schema in self.settings.items() if schema.get("writeOnly") is True)

    def supports(self, version: str) -> bool:
        """Whether the framework's version is among those that the adapter was made for."""
        return is_within(self.versions, version)

    def supports_python(self, version: str) -> bool:
        """Whether the runtime can be used under this Python."""
        return is_within(self.python, version)

    def runs_code(self, configuration: Mapping[str, Any]) -> bool:
        """Whether an agent's configuration names code of the user's."""
        return not self.code.isdisjoint(configuration.get("runtime_config") or {})

    def problems(self, configuration: Mapping[str, Any]) -> list[str]:
        """What is wrong with an agent's `runtime_config`, one sentence each."""
        return [problem for name, value in configuration.items() for problem in self._problems(name, value)]

    def _problems(self, name: str, value: object) -> Iterator[str]:
        schema = self.settings.get(name) or (LIMITS.get(name) if self.wires else None)
        if schema is None:
            yield f"'{name}' is no setting of runtime '{self.name}'. {guess(name, self.settings)}"
            return
        is_secret = name in self.secret_settings
        if is_secret and secret_named(value) is not None:
            return
        for error in _validator(schema).iter_errors(value):
            place = ".".join(map(str, (name, *error.instance_path)))
            yield f"'{place}' is wrong." if is_secret else f"'{place}' is wrong: {error.message[:_COMPLAINT_LIMIT]}."


@lru_cache(maxsize=256)
def is_within(specifier: str, version: str) -> bool:
    """Whether a version is within a specifier; what cannot be read is not."""
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


def _validator(schema: JsonSchema) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(dict(schema), retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions())


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"a schema may not refer to {uri}")
