"""What is no error yet: models that no live worker can reach."""

from typing import Any

from sqlalchemy import Row

from control_plane.api.runtimes.service import Workers
from control_plane.api.schemas import Notice
from runtimes.errors import CredentialMissing, ModelUnknown, RuntimeFailure
from runtimes.manifests.known import KNOWN
from services.providers import NO_KEY, Provider, ProviderRegistry


def model_warnings(agent: Row[Any], workers: Workers) -> list[Notice]:
    """What an execution of the agent would fail with now, by what the live workers of its runtime announce."""
    manifest = KNOWN.get(agent.runtime)
    if manifest is not None and not manifest.wires:
        return []
    failures = [_failure(agent.model_id, worker.providers) for worker in workers if _serves(worker, agent.runtime)]
    first = failures[0] if failures and None not in failures else None
    return [] if first is None else [Notice(code=first.code, message=first.message, hint=first.hint)]


def _serves(worker: Row[Any], runtime: str) -> bool:
    return any(one["name"] == runtime for one in worker.runtimes)


def _failure(model_id: str, providers: dict[str, bool]) -> RuntimeFailure | None:
    registry = ProviderRegistry(
        Provider(name, "https://provider.invalid", NO_KEY if ready else None) for name, ready in providers.items()
    )
    try:
        registry.resolve(model_id)
    except (ModelUnknown, CredentialMissing) as failure:
        return failure
    return None
