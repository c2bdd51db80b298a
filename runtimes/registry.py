"""The runtimes that are known here: those that Holdfast ships, and plugins."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

from runtimes.errors import ConfigurationInvalid
from runtimes.frameworks import Discovery
from runtimes.manifests.known import KNOWN, manifest_of
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.plugins import Candidate, Missing, candidates

#: The origin of what Holdfast ships.
BUILT_IN = "built in"


class BrokenRuntime(NamedTuple):
    """A plugin that cannot be used: where it was found, why it cannot, and what to do."""

    name: str
    origin: str
    reason: str
    hint: str


class RuntimeRegistry(Mapping[str, RuntimeManifest]):
    """Manifests by name; what is broken is told apart, and stops nobody."""

    def __init__(self, built_in: Mapping[str, RuntimeManifest] = KNOWN) -> None:
        self._manifests = dict(built_in)
        self._origins = dict.fromkeys(built_in, BUILT_IN)
        self._broken: list[BrokenRuntime] = []

    @classmethod
    def discover(cls, discovery: Discovery) -> Self:
        """Look for plugins everywhere that is said, and import their manifests; frameworks are not imported."""
        registry = cls()
        for candidate in candidates(discovery):
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

    def _take(self, manifest: RuntimeManifest, origin: str) -> None:
        owner = self._origins.get(manifest.name)
        if owner is None:
            self._manifests[manifest.name], self._origins[manifest.name] = manifest, origin
        elif self._manifests[manifest.name] is not manifest:
            raise ConfigurationInvalid(f"The name '{manifest.name}' is taken: {owner}.", hint="Choose another name.")

    def __getitem__(self, name: str) -> RuntimeManifest:
        return self._manifests[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifests)

    def __len__(self) -> int:
        return len(self._manifests)
