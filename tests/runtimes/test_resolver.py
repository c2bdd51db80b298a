"""The resolver: a pure function, with a reason for everything."""

from collections.abc import Mapping
from typing import Any

import pytest

from runtimes.frameworks import FrameworksConfig, TemplateMapping
from runtimes.live_pools import LivePool, LiveWorker
from runtimes.manifests.known import KNOWN
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.resolver import Resolution, RuntimeResolver, Stage, Wanted, used_capabilities
from runtimes.templates import BUILT_IN, AgentType, Template
from runtimes.types import Capability


def manifest(name: str, *capabilities: Capability, **more: Any) -> RuntimeManifest:
    """A runtime of the test's own."""
    values = {"name": name, "title": name, "entry": "a:B", "package": name, "capabilities": capabilities, "wires": ()}
    return RuntimeManifest.model_validate(values | more)


MANIFESTS = {
    each.name: each
    for each in (
        manifest("default", Capability.TOOLS, Capability.STREAMING, settings={"turns": {"type": "integer"}}),
        manifest("crew", Capability.TOOLS, Capability.MULTI_AGENT, versions=">=2,<3"),
        manifest("graph", Capability.TOOLS, Capability.STREAMING, templates=["desk"]),
        manifest("plain"),
    )
}
DESK = Template("desk", AgentType.TASK, preferred=("crew", "default"), required=("tools",))


def pool(runtime: str, name: str | None = None, *, running: int = 0, placed: int | None = None) -> LivePool:
    """A live pool of one worker with ten slots."""
    return pool_of(runtime, LiveWorker("2.1", slots=10, running=running), name=name, placed=placed)


def pool_of(runtime: str, *workers: LiveWorker, name: str | None = None, placed: int | None = None) -> LivePool:
    """A live pool of these workers."""
    name = name or runtime
    return LivePool(name, f"holdfast.{name}", runtime, workers, placed)


def resolve(
    wanted: Wanted,
    *pools: LivePool,
    manifests: Mapping[str, RuntimeManifest] = MANIFESTS,
    config: FrameworksConfig | None = None,
) -> Resolution:
    """A decision among the test's runtimes."""
    return RuntimeResolver(manifests, config or FrameworksConfig()).resolve(wanted, pools)


def reasons(resolution: Resolution) -> dict[str, str]:
    """Why each candidate was taken or not."""
    return {candidate.runtime: candidate.reason for candidate in resolution.candidates}


def test_what_an_agent_names_is_taken_and_nothing_else_is_looked_at() -> None:
    found = resolve(Wanted(runtime="plain"), pool("plain"), pool("crew"), pool("default"))

    assert (found.runtime, found.stage, found.pool, found.task_queue) == (
        "plain",
        Stage.EXPLICIT,
        "plain",
        "holdfast.plain",
    )
    assert list(reasons(found)) == ["plain"]


def test_what_an_agent_names_is_never_replaced() -> None:
    waiting = resolve(Wanted(runtime="crew"), pool("default"))
    unfit = resolve(Wanted(runtime="plain", required={"tools": "toolset shell"}), pool("plain"), pool("default"))

    assert (waiting.runtime, waiting.pool, waiting.deploy) == ("crew", None, "holdfast worker --pool crew")
    assert reasons(waiting) == {"crew": "no live pool: waited for"}
    assert (unfit.runtime, unfit.pool, unfit.deploy) == (None, None, None)
    assert reasons(unfit) == {"plain": "lacks tools (toolset shell)"}


def test_the_templates_runtimes_come_before_generic_ones_and_these_before_the_default() -> None:
    order = resolve(Wanted(template=DESK))

    assert [(each.runtime, each.stage) for each in order.candidates] == [
        ("crew", "template"),
        ("default", "template"),
        ("graph", "template"),
        *[(name, "generic") for name in BUILT_IN["generic-task"].preferred if name != "default"],
    ]
    assert resolve(Wanted(), pool("default")).stage is Stage.DEFAULT


@pytest.mark.parametrize(
    ("live", "taken", "stage"),
    [
        (["plain", "graph", "default", "crew"], "crew", "template"),
        (["plain", "graph", "default"], "default", "template"),
        (["plain", "graph"], "graph", "template"),
    ],
)
def test_a_pool_that_is_not_live_gives_way_to_the_next(live: list[str], taken: str, stage: str) -> None:
    found = resolve(Wanted(template=DESK), *map(pool, live))

    assert (found.runtime, found.stage) == (taken, stage)


def test_without_any_live_pool_the_best_is_waited_for() -> None:
    found = resolve(Wanted(template=DESK))

    assert (found.runtime, found.pool, found.task_queue) == ("crew", None, None)
    assert found.deploy == "holdfast worker --pool crew"
    assert [candidate.taken for candidate in found.candidates] == [False] * len(found.candidates)


def test_a_runtime_that_lacks_what_is_required_is_left_out_with_what_requires_it() -> None:
    found = resolve(Wanted(template=DESK, required={"streaming": "requires"}), *map(pool, ("crew", "default")))

    assert found.runtime == "default"
    assert found.required == {"streaming": "requires", "tools": "template desk"}
    assert reasons(found)["crew"] == "lacks streaming (requires)"


def test_a_worker_with_a_version_out_of_range_is_left_out_alone() -> None:
    old, fit = LiveWorker("1.9", slots=10), LiveWorker("2.1", slots=4)

    alone = resolve(Wanted(runtime="crew"), pool_of("crew", old))
    beside = resolve(Wanted(runtime="crew"), pool_of("crew", old, fit), pool_of("crew", fit, fit, name="more"))

    assert alone.pool is None
    assert reasons(alone) == {"crew": "pool crew has crew 1.9, outside >=2,<3: waited for"}
    assert alone.deploy == "holdfast worker --pool crew  # with crew >=2,<3"
    assert beside.candidates[0].pools == ["crew", "more"]
    assert beside.pool == "more"
    assert resolve(Wanted(runtime="crew"), pool_of("crew", old, fit)).pool == "crew"


def test_a_worker_is_judged_by_the_range_that_it_announces_itself() -> None:
    upgraded = LiveWorker("3.4", ">=3,<4", slots=10)
    strange = LiveWorker("2.1", ">=3,<4", slots=10)

    taken, left_out = (resolve(Wanted(runtime="crew"), pool_of("crew", worker)) for worker in (upgraded, strange))

    assert taken.pool == "crew"
    assert reasons(left_out) == {"crew": "pool crew has crew 2.1, outside >=3,<4: waited for"}
    assert left_out.deploy == "holdfast worker --pool crew  # with crew >=3,<4"


def test_the_score_is_the_sum_of_its_parts_and_decides_within_a_stage() -> None:
    manifests = MANIFESTS | {"graph": MANIFESTS["graph"].model_copy(update={"weight": 30})}

    found = resolve(Wanted(template=DESK), *map(pool, ("crew", "default", "graph")), manifests=manifests)

    assert found.runtime == "graph"
    scores = {each.runtime: each.score for each in found.candidates if each.score}
    parts = {"configuration": 100, "capabilities": 20, "capacity": 10}
    assert scores["graph"].model_dump() == parts | {"weight": 30, "total": 160}
    assert scores["crew"].model_dump() == parts | {"weight": 0, "total": 130}
    assert reasons(found)["crew"] == "graph has a higher score, or the same and comes first"


def test_settings_that_a_runtime_does_not_take_cost_ten_points_each_and_keep_it_out() -> None:
    found = resolve(Wanted(template=DESK, runtime_config={"turns": 5}), *map(pool, ("crew", "default")))
    wrong = resolve(Wanted(runtime="default", runtime_config={"turns": "x", "other": 1}), pool("default"))

    assert found.runtime == "default"
    assert reasons(found)["crew"].startswith("does not take the settings: 'turns' is no setting of runtime 'crew'.")
    assert wrong.candidates[0].score is not None
    assert wrong.candidates[0].score.configuration == -20
    assert (wrong.runtime, wrong.hint) == (None, "Take the settings out of runtime_config.")


def test_what_takes_the_settings_is_waited_for_though_others_are_live() -> None:
    found = resolve(Wanted(template=DESK, runtime_config={"turns": 5}), *map(pool, ("crew", "graph")))

    assert (found.runtime, found.pool, found.deploy) == ("default", None, "holdfast worker --pool default")
    assert reasons(found)["default"] == "no live pool: waited for"


def test_settings_that_nothing_of_a_template_takes_say_who_does() -> None:
    desk = Template("t", AgentType.CUSTOM, preferred=("crew",), required=("tools",))
    deaf = manifest("deaf", settings={"crews": {"type": "integer"}})
    able = manifest("able", Capability.TOOLS, settings={"crews": {"type": "integer"}})

    found = resolve(
        Wanted(template=desk, runtime_config={"crews": 2}),
        *map(pool, MANIFESTS),
        manifests=MANIFESTS | {"able": able, "deaf": deaf},
    )

    assert (found.runtime, found.pool, found.deploy) == (None, None, None)
    assert found.hint == "Take the settings out of runtime_config, or name a runtime that takes them: able."
    assert found.reasons().startswith("'crew': does not take the settings: 'crews' is no setting of runtime 'crew'.")


def test_settings_narrow_the_candidates_where_neither_runtime_nor_template_is_named() -> None:
    settings = {"flow": {"type": "string"}}
    flows = {name: manifest(name, settings=settings) for name in ("flow_a", "flow_b")}
    wanted = Wanted(runtime_config={"flow": "x"})

    live = resolve(wanted, pool("default"), pool("flow_b"), manifests=MANIFESTS | flows)
    waiting = resolve(wanted, pool("default"), manifests=MANIFESTS | flows)
    usual = resolve(Wanted(runtime_config={"turns": 5}), manifests=MANIFESTS | flows)

    assert (live.runtime, live.stage, live.pool) == ("flow_b", Stage.SETTINGS, "flow_b")
    assert (waiting.runtime, waiting.pool) == ("flow_a", None)
    assert [(each.runtime, each.stage.value) for each in usual.candidates] == [("default", "default")]


def test_free_capacity_decides_between_equals_and_ties_go_to_what_stands_first() -> None:
    busy = resolve(Wanted(template=DESK), pool("crew", running=9), pool("default", running=2))
    equal = resolve(Wanted(template=DESK), pool("default", running=2), pool("crew", running=2))

    assert (busy.runtime, equal.runtime) == ("default", "crew")


def test_of_several_pools_the_one_with_most_room_takes_it() -> None:
    pools = [pool("default", running=9), pool("default", "spare", running=1), pool("default", "other", running=1)]

    found = resolve(Wanted(), *pools)

    assert (found.pool, found.task_queue) == ("other", "holdfast.other")
    assert found.candidates[0].pools == ["default", "spare", "other"]


def test_what_is_placed_counts_more_than_what_workers_said_and_of_full_pools_the_shortest_queue_gets_it() -> None:
    stale = [pool("default", running=0, placed=9), pool("default", "spare", running=10, placed=8)]
    full = [pool("default", placed=14), pool("default", "spare", placed=12)]
    small = pool_of("default", LiveWorker("2.1", slots=2), name="small", placed=3)

    assert resolve(Wanted(), *stale).pool == "spare"
    assert resolve(Wanted(), *full).pool == "spare"
    assert resolve(Wanted(), *full, small).pool == "spare"


def test_the_frameworks_file_stands_before_the_template() -> None:
    mapping = TemplateMapping(
        preferred=("plain",), required_capabilities=frozenset({Capability.STREAMING}), fallback_type="conversation"
    )
    config = FrameworksConfig(default_framework="crew", template_mappings={"desk": mapping})

    found = resolve(Wanted(template=DESK), config=config)

    assert found.required == {"streaming": "template desk"}
    names = [(each.runtime, each.stage.value) for each in found.candidates]
    assert names[0] == ("plain", "template")
    assert ("default", "generic") in names
    assert names[-1] == ("crew", "default")


def test_an_empty_list_of_the_frameworks_file_is_no_silence() -> None:
    empty = FrameworksConfig(
        template_mappings={"desk": TemplateMapping(preferred=(), required_capabilities=frozenset())}
    )
    silent = FrameworksConfig(template_mappings={"desk": TemplateMapping(fallback_type="task")})

    emptied, kept = (resolve(Wanted(template=DESK), config=config) for config in (empty, silent))

    assert (emptied.required, emptied.candidates[0].runtime) == ({}, "graph")
    assert (kept.required, kept.candidates[0].runtime) == ({"tools": "template desk"}, "crew")


def test_what_nobody_knows_is_waited_for_only_where_an_agent_names_it() -> None:
    named = resolve(Wanted(runtime="plugin"))
    preferred = resolve(Wanted(template=Template("t", AgentType.CUSTOM, preferred=("plugin",))), pool("default"))

    assert (named.runtime, named.pool) == ("plugin", None)
    assert preferred.runtime == "default"
    assert reasons(preferred)["plugin"] == "nothing here knows it"


def test_the_same_question_has_the_same_answer() -> None:
    wanted, pools = Wanted(template=DESK, required={"tools": "x"}), [pool("default"), pool("crew")]

    assert resolve(wanted, *pools) == resolve(wanted, *reversed(pools))


def test_what_an_agent_uses_is_read_from_its_definition() -> None:
    toolsets: list[dict[str, Any]] = [{"type": "file_system"}, {"type": "mcp", "servers": {}}]
    configuration: dict[str, Any] = {"output_schema": {"type": "object"}, "requires": ["memory"]}

    assert used_capabilities(toolsets, configuration) == {
        "tools": "toolset file_system",
        "mcp": "toolset mcp",
        "structured_output": "output_schema",
        "memory": "requires",
    }
    assert used_capabilities([], {}) == {}


def test_every_built_in_template_can_be_served_by_what_holdfast_ships() -> None:
    pools = [pool_of(name, LiveWorker("1", "")) for name in KNOWN]

    for template in BUILT_IN.values():
        assert resolve(Wanted(template=template), *pools, manifests=KNOWN).pool is not None, template.name
