"""What operators say of runtimes: where plugins are found, which one is preferred, and the limits of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import Capability, RuntimeType

#: Every template is of one; `generic-<type>` is the template behind it.
AgentType = Literal["conversation", "task", "custom"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Discovery(_Section):
    """Where plugins are looked for.

    `auto_scan`: in installed distributions, by their entry points. `directories` hold plugins as modules or packages.
    `modules` are manifests by import path, `package.module:NAME`. Code in all three is executed.
    """

    auto_scan: StrictBool = True
    directories: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()


class TemplateMapping(_Section):
    """Which runtimes a template's agents get; stands before what the template says itself.

    None says nothing: the template's own holds. An empty list says that there is none.
    """

    preferred: tuple[str, ...] | None = None
    required_capabilities: frozenset[Capability] | None = None
    fallback_type: AgentType | None = None


class FrameworkLimits(_Section):
    """One runtime's limits, in place of its manifest's.

    `max_concurrent_executions` are the turns that a worker runs at once; `timeout_seconds` is the longest time of a
    turn; `memory_limit_mb` is what a turn is counted with; `weight` is the runtime's say in the resolver.
    """

    max_concurrent_executions: Annotated[StrictInt, Field(ge=1)] | None = None
    timeout_seconds: Annotated[float, Field(ge=1, strict=True)] | None = None
    memory_limit_mb: Annotated[StrictInt, Field(ge=1)] | None = None
    weight: StrictInt | None = None


class FrameworksConfig(_Section):
    """The frameworks file's content; `default_framework` runs agents that name no runtime."""

    discovery: Discovery = Discovery()
    default_framework: str = RuntimeType.DEFAULT.value
    template_mappings: Mapping[str, TemplateMapping] = Field(default_factory=dict[str, TemplateMapping])
    framework_specific: Mapping[str, FrameworkLimits] = Field(default_factory=dict[str, FrameworkLimits])

    def limits(self, runtime: str) -> FrameworkLimits:
        """What is said of one runtime; nothing is a possible answer."""
        return self.framework_specific.get(runtime, FrameworkLimits())

    def applied(self, manifest: RuntimeManifest) -> RuntimeManifest:
        """The manifest, with what is said of its runtime in place of its own slots, memory and weight."""
        limits = self.limits(manifest.name)
        changed = {
            "slots": limits.max_concurrent_executions,
            "memory_mb": limits.memory_limit_mb,
            "weight": limits.weight,
        }
        return manifest.model_copy(update={name: value for name, value in changed.items() if value is not None})
