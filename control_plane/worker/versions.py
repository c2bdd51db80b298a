"""Temporal's worker versioning: which deployment, and which build of it, a worker is."""

from hashlib import sha256

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from activities.queues import pool_of
from control_plane.settings import Settings

#: Characters that tell pools apart whose names differ in dots only.
MARK = 8


def deployment_name(settings: Settings, queue: str) -> str:
    """The deployment of the workers of a queue: Temporal takes no dots in its name; empty without a build id.

    A pool with dots in its own name has a mark at the end, so that `a.b` and `a-b` are two.

    Workflows and pools are different deployments: a pinned workflow would want a pool's workers of its own build.
    """
    if not settings.build_id:
        return ""
    pool = pool_of(queue)
    mark = f"-{sha256(pool.encode()).hexdigest()[:MARK]}" if "." in pool else ""
    return settings.deployment_name or queue.replace(".", "-") + mark


def deployment_of(settings: Settings, queue: str) -> WorkerDeploymentConfig | None:
    """The versioning of the workers of a queue; None without a build id."""
    if not settings.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name(settings, queue), settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
