"""What is said of a runtime: by its manifest, here or as workers announce it, and by the workers that run it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row

from control_plane.api.runtimes.schemas import BrokenPlugin, Runtime
from runtimes.factory import installed_version
from runtimes.manifests.manifest import RuntimeManifest, is_within
from runtimes.registry import RuntimeRegistry

#: The origin of a runtime that is known by its workers alone.
ANNOUNCED = "announced by workers"

#: A worker, and one of the runtimes that it announces.
Announced = tuple[Row[Any], Mapping[str, Any]]


def announced_runtimes(workers: Sequence[Row[Any]]) -> Mapping[str, list[Announced]]:
    """Who announces what, by the runtimes' names."""
    found: dict[str, list[Announced]] = defaultdict(list)
    for worker in workers:
        for runtime in worker.runtimes:
            found[runtime["name"]].append((worker, runtime))
    return found


def manifest_for(name: str, registry: RuntimeRegistry, workers: Sequence[Row[Any]]) -> RuntimeManifest | None:
    """The manifest that is known here, else the one that a live worker announces."""
    return registry.get(name) or _announced_manifest(registry, announced_runtimes(workers).get(name, []))


def manifests_of(registry: RuntimeRegistry, workers: Sequence[Row[Any]]) -> Mapping[str, RuntimeManifest]:
    """All manifests: those that are known here, and what live workers announce beside them."""
    announced = announced_runtimes(workers)
    found = {name: manifest_for(name, registry, workers) for name in announced if name not in registry}
    return {**registry, **{name: manifest for name, manifest in found.items() if manifest}} if found else registry


def describe(name: str, registry: RuntimeRegistry, announced: Sequence[Announced]) -> Runtime:
    """A runtime as the API shows it."""
    manifest = registry.get(name) or _announced_manifest(registry, announced)
    here = installed_version(manifest) if manifest else ""
    theirs = {str(runtime["version"]) for _, runtime in announced}
    return Runtime(
        name=name,
        origin=registry.origin(name) if name in registry else ANNOUNCED,
        **(_described(manifest) if manifest else _as_announced(announced[0][1])),
        installed_version=here,
        installed_versions=sorted(theirs),
        unsupported_versions=_unsupported(manifest, here, announced),
        live=bool(announced),
        workers=len(announced),
        pools=sorted({worker.pool for worker, _ in announced}),
    )


def broken_plugins(registry: RuntimeRegistry) -> list[BrokenPlugin]:
    """The plugins beside the API that cannot be used."""
    return [BrokenPlugin(**broken._asdict()) for broken in registry.broken]


def _announced_manifest(registry: RuntimeRegistry, announced: Sequence[Announced]) -> RuntimeManifest | None:
    for _, runtime in announced:
        try:
            return registry.limited(RuntimeManifest.model_validate(runtime.get("manifest"), extra="ignore"))
        except ValidationError:
            continue
    return None


def own_range(announced: Mapping[str, Any]) -> str | None:
    """The framework's versions that a worker's own manifest names; None if it announced no manifest."""
    manifest: Mapping[str, Any] = announced.get("manifest") or {}
    versions = manifest.get("versions")
    return versions if isinstance(versions, str) else None


def _unsupported(manifest: RuntimeManifest | None, here: str, announced: Sequence[Announced]) -> list[str]:
    """The versions that the adapter was not made for: the one beside the API, and those of workers."""
    own = {here} if manifest and here and not manifest.supports(here) else set[str]()
    return sorted(own | {str(runtime["version"]) for _, runtime in announced if _is_strange(runtime, manifest)})


def _is_strange(announced: Mapping[str, Any], manifest: RuntimeManifest | None) -> bool:
    """Whether a worker has a version that it is not made for: by its own manifest, else by the one known here."""
    own, known = own_range(announced), manifest.versions if manifest else ""
    return not is_within(known if own is None else own, announced["version"])


def _described(manifest: RuntimeManifest) -> dict[str, Any]:
    return manifest.model_dump(exclude={"name", "entry", "distribution", "own_toolsets", "differs"}) | {
        "requirement": manifest.requirement
    }


def _as_announced(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """Of a worker without a manifest that can be read here."""
    return {
        "title": runtime["title"],
        "capabilities": sorted(runtime["capabilities"]),
        "requirement": "",
        "package": "",
        "versions": "",
        "python": "",
        "contract": 0,
        "extra": "",
        "wires": [],
        "templates": [],
        "weight": 0,
        "settings": {},
        "environment": {},
        "memory_mb": None,
        "slots": None,
    }
