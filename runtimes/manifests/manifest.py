"""What is known of a runtime without importing its framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtimes.meant import guess
from runtimes.types import Capability, Wire

#: What every runtime can do whose calls pass the gateways: MCP tools come as ordinary ones, the executor checks
#: output against its schema, and the journal answers a turn that goes on after a decision or elsewhere.
THROUGH_GATEWAYS = frozenset(
    {Capability.TOOLS, Capability.MCP, Capability.STRUCTURED_OUTPUT, Capability.HITL, Capability.RESUME}
)


@dataclass(frozen=True, slots=True)
class RuntimeManifest:
    """A runtime's declaration.

    `entry` is `module:Class` of the adapter; `extra` the extra of the distribution that installs the
    framework; `own_toolsets` are the types of toolset that the framework brings itself; `memory_mb` and `slots`
    are per turn and per worker; `environment` is set before the framework is imported.
    """

    name: str
    title: str
    entry: str
    extra: str
    package: str
    versions: str
    capabilities: frozenset[Capability]
    wires: frozenset[Wire]
    settings: Mapping[str, type | tuple[type, ...]] = field(default_factory=dict[str, type | tuple[type, ...]])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    own_toolsets: frozenset[str] = frozenset()
    memory_mb: int = 10
    slots: int = 100

    def problems(self, configuration: Mapping[str, Any]) -> list[str]:
        """What is wrong with an agent's `runtime_config`, one sentence each."""
        found: list[str] = []
        for name, value in configuration.items():
            if name not in self.settings:
                found.append(f"'{name}' is no setting of runtime '{self.name}'.{self._suggestion(name)}")
            elif not isinstance(value, self.settings[name]) or isinstance(value, bool) is not self._is_flag(name):
                found.append(f"'{name}' has the wrong type: {type(value).__name__}.")
            elif isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                found.append(f"'{name}' must be greater than 0.")
        return found

    def _is_flag(self, name: str) -> bool:
        return self.settings[name] is bool

    def _suggestion(self, name: str) -> str:
        return f" {guess(name, self.settings)}"
