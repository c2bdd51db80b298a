"""The runtimes that are known here: those that Holdfast ships, and plugins."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from runtimes.errors import ConfigurationInvalid
from runtimes.frameworks import FrameworksConfig
from runtimes.manifests.known import KNOWN, manifest_of
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.plugins import Candidate, Missing, candidates

#: The origin of what Holdfast ships.
BUILT_IN = "built in"
#: Where there is no frameworks file.
NOTHING_SAID = FrameworksConfig()


class BrokenRuntime(NamedTuple):
    """A plugin that cannot be used: where it was found, why it cannot, and what to do."""

    name: str
    origin: str
    reason: str
    hint: str


class RuntimeRegistry(Mapping[str, RuntimeManifest]):
    """Manifests by name, with the operator's limits in them; what is broken is told apart, and stops nobody."""

    def __init__(self, config: FrameworksConfig = NOTHING_SAID) -> None:
        self._config = config
        self._manifests = {name: config.applied(manifest) for name, manifest in KNOWN.items()}
        self._origins = dict.fromkeys(KNOWN, BUILT_IN)
        self._broken: list[BrokenRuntime] = []

    @classmethod
    def discover(cls, config: FrameworksConfig = NOTHING_SAID) -> Self:
        """Look for plugins everywhere that is said, and import their manifests; frameworks are not imported."""
        registry = cls(config)
        for candidate in dict.fromkeys(candidates(config.discovery)):
            registry.add(candidate)
        return registry

    def add(self, candidate: Candidate | Missing) -> None:
        """Take a plugin in, or report it."""
        try:
            self._take(candidate.manifest(), candidate.origin)
        except ConfigurationInvalid as why:
            self._broken.append(BrokenRuntime(candidate.name, candidate.origin, why.message, why.hint))

    @property
    def broken(self) -> list[BrokenRuntime]:
        """What was found and cannot be used."""
        return list(self._broken)

    def origin(self, name: str) -> str:
        """Where a runtime comes from."""
        return self._origins[name]

    def manifest(self, name: str) -> RuntimeManifest:
        """The manifest of a runtime.

        Raises:
            RuntimeUnknown: nothing has that name; says what was perhaps meant.
        """
        return manifest_of(name, self._manifests)

    def limited(self, manifest: RuntimeManifest) -> RuntimeManifest:
        """A manifest from elsewhere, with the operator's limits in it."""
        return self._config.applied(manifest)

    def _take(self, manifest: RuntimeManifest, origin: str) -> None:
        owner, limited = self._origins.get(manifest.name), self.limited(manifest)
        if owner is None:
            self._manifests[manifest.name], self._origins[manifest.name] = limited, origin
        elif self._manifests[manifest.name] != limited:
            raise ConfigurationInvalid(f"The name '{manifest.name}' is taken: {owner}.", hint="Choose another name.")

    def __getitem__(self, name: str) -> RuntimeManifest:
        return self._manifests[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifests)

    def __len__(self) -> int:
        return len(self._manifests)
