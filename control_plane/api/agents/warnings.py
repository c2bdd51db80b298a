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
    serving = [worker for worker in workers if any(one["name"] == agent.runtime for one in worker.runtimes)]
    if not serving or (manifest is not None and not manifest.wires):
        return []
    failures = [_failure(agent.model_id, worker.providers) for worker in serving]
    if None in failures:
        return []
    return [Notice(code=each.code, message=each.message, hint=each.hint) for each in failures[:1] if each]


def _failure(model_id: str, providers: dict[str, bool]) -> RuntimeFailure | None:
    registry = ProviderRegistry(
        Provider(name, "https://provider.invalid", NO_KEY if ready else None) for name, ready in providers.items()
    )
    try:
        registry.resolve(model_id)
    except (ModelUnknown, CredentialMissing) as failure:
        return failure
    return None
