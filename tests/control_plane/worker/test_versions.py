"""The deployments that workers with a build id belong to."""

import pytest

from activities.queues import WORKFLOW_QUEUE, pool_queue
from control_plane.settings import Settings
from control_plane.worker.versions import deployment_name

BUILT = Settings(build_id="a")


@pytest.mark.parametrize(
    ("queue", "name"),
    [(WORKFLOW_QUEUE, "holdfast"), (pool_queue("default"), "holdfast-default"), (pool_queue("a-b"), "holdfast-a-b")],
)
def test_a_deployment_is_called_after_its_queue(queue: str, name: str) -> None:
    assert deployment_name(BUILT, queue) == name
    assert deployment_name(Settings(), queue) == ""


def test_pools_whose_names_differ_in_dots_only_are_different_deployments() -> None:
    names = {pool: deployment_name(BUILT, pool_queue(pool)) for pool in ("a.b", "a-b", "a.b.c", "a-b.c", "a.b-c")}

    assert len(set(names.values())) == len(names)
    assert not any("." in name for name in names.values())
    assert names["a.b"].startswith("holdfast-a-b-")
    assert deployment_name(Settings(build_id="a", deployment_name="mine"), pool_queue("a.b")) == "mine"
