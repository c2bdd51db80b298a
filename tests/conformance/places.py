"""The places of each runtime's check: its wires, and names of models by which its framework changes its ways."""

from collections.abc import Iterator, Mapping, Sequence

from runtimes.manifests.manifest import RuntimeManifest
from runtimes.types import Wire

#: Names of models under which a framework does otherwise than under one that it does not know.
KNOWN_MODELS: Mapping[str, Sequence[str]] = {"claude_code": ("claude-sonnet-5",)}


def known_places(manifest: RuntimeManifest) -> Iterator[tuple[Wire, str]]:
    """The wires with the names that the framework knows."""
    return ((wire, model) for wire in sorted(manifest.wires) for model in KNOWN_MODELS.get(manifest.name, ()))
