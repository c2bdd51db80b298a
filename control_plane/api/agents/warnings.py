"""What is no error yet: what an agent's executions would wait for, or fail with."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Row

from control_plane.api.executions.placement import unfit
from control_plane.api.runtimes.liveness import not_live, serving
from control_plane.api.runtimes.service import Workers
from control_plane.api.schemas import Notice
from runtimes.errors import ConfigurationInvalid, RuntimeFailure
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.resolver import Resolution
from services.providers import NO_KEY, Provider, ProviderRegistry
from services.tools.python_functions import check_allowed

#: Where it is said what an agent needs, and why.
REQUIRED = "See: holdfast runtimes resolve AGENT"


def agent_warnings(
    agent: Row[Any], resolution: Resolution, manifests: Mapping[str, RuntimeManifest], workers: Workers
) -> list[Notice]:
    """What is wrong with the agent now, by what the live workers of the runtime announce that it would get."""
    if resolution.runtime is None:
        refusal = unfit(resolution)
        return [Notice(code=refusal.code, message=refusal.detail, hint=resolution.hint or REQUIRED)]
    if resolution.pool is None:
        return [not_live(resolution.runtime, "its executions wait")]
    able = serving(workers, resolution.runtime)
    checks = (partial(_reach_model, manifests.get(resolution.runtime)), _allow_functions)
    return [notice for check in checks for notice in _of_all(able, partial(check, agent))]


def secret_warnings(missing: Collection[str]) -> list[Notice]:
    """Tell of secrets that a definition refers to, and that the organization has not stored."""
    return [
        Notice(
            code="secret_missing",
            message=f"The organization has no secret '{name}'; a worker may have one in its settings.",
            hint=f"Set it: holdfast secrets set {name}",
        )
        for name in sorted(missing)
    ]


def _of_all(workers: Workers, check: Callable[[Row[Any]], None]) -> list[Notice]:
    """What the first worker fails with, if all fail."""
    failures = [failure for worker in workers if (failure := _failure(check, worker))]
    shown = failures[:1] if len(failures) == len(workers) else []
    return [Notice(code=each.code, message=each.message, hint=each.hint) for each in shown]


def _failure(check: Callable[[Row[Any]], None], worker: Row[Any]) -> RuntimeFailure | None:
    try:
        check(worker)
    except ConfigurationInvalid as failure:
        return failure
    return None


def _reach_model(manifest: RuntimeManifest | None, agent: Row[Any], worker: Row[Any]) -> None:
    if manifest is not None and not manifest.wires:
        return
    registry = ProviderRegistry(
        Provider(name, "https://provider.invalid", NO_KEY if one["ready"] else None, models=tuple(one["models"]))
        for name, one in worker.providers.items()
    )
    for model_id in (agent.model_id, *agent.configuration.get("model_fallbacks", ())):
        registry.resolve(model_id)


def _allow_functions(agent: Row[Any], worker: Row[Any]) -> None:
    for toolset in agent.toolsets:
        for path in toolset.get("functions", ()):
            check_allowed(path, worker.tool_modules)
