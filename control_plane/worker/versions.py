"""Temporal's worker versioning: which deployment, and which build of it, a worker is."""

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from control_plane.settings import Settings


def deployment_name(settings: Settings, queue: str) -> str:
    """The deployment of the workers of a queue: Temporal takes no dots in its name; empty without a build id.

    Workflows and pools are different deployments: a pinned workflow would want a pool's workers of its own build.
    """
    return (settings.deployment_name or queue.replace(".", "-")) if settings.build_id else ""


def deployment_of(settings: Settings, queue: str) -> WorkerDeploymentConfig | None:
    """The versioning of the workers of a queue; None without a build id."""
    if not settings.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name(settings, queue), settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
