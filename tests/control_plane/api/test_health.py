"""Runtimes, pools and health: what is known, and what lives now."""

from tests.control_plane.api.organizations import code
from tests.stack import Stack


async def test_runtimes_say_what_they_can_and_whether_they_live(stack: Stack) -> None:
    listed = (await stack.http.get("/api/v1/runtimes")).json()["items"]
    default = (await stack.http.get("/api/v1/runtimes/default")).json()

    assert [runtime["name"] for runtime in listed] == sorted(runtime["name"] for runtime in listed)
    assert default in listed
    assert (default["live"], default["pools"]) == (True, ["default"])
    assert {"streaming", "tools"} <= set(default["capabilities"])


async def test_an_unknown_runtime_is_not_found(stack: Stack) -> None:
    assert code(await stack.http.get("/api/v1/runtimes/agnoo")) == (404, "not_found")


async def test_pools_are_what_workers_announce(stack: Stack) -> None:
    pools = {pool["pool"]: pool for pool in (await stack.http.get("/api/v1/worker-pools")).json()["items"]}

    assert pools["default"]["task_queue"] == "holdfast.default"
    assert pools["default"]["workers"] == 1
    assert pools["default"]["slots"] == 100
    assert pools["workflows"]["kind"] == "workflow"


async def test_health_says_which_runtimes_and_models_can_be_used(stack: Stack) -> None:
    runtimes = (await stack.http.get("/health/runtimes")).json()["runtimes"]
    models = (await stack.http.get("/health/models")).json()["providers"]

    assert runtimes["default"] is runtimes["scripted"] is True
    assert models["scripted"] is True
