"""Which runtime runs an execution: a pure function of what is wanted and of what is there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from runtimes.frameworks import FrameworksConfig
from runtimes.live_pools import LivePool, ranges, roomiest
from runtimes.manifests.manifest import RuntimeManifest
from runtimes.templates import BUILT_IN, AgentType, Template, generic

#: Points for settings that the runtime takes as they are, and for each thing that is wrong with them.
VALID, PER_PROBLEM = 100, -10
#: Points for each required capability that a runtime has.
PER_CAPABILITY = 20
#: Points for pools that are all free; coarse, so that one turn more or less changes nothing.
FREE = 10


class Stage(StrEnum):
    """Why a runtime is a candidate; an earlier stage goes before a later one, whatever the scores."""

    EXPLICIT = "explicit"
    TEMPLATE = "template"
    GENERIC = "generic"
    DEFAULT = "default"
    SETTINGS = "settings"


_STAGES = list(Stage)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an execution needs: `runtime` if agent or start name one, and of each capability what requires it."""

    runtime: str = ""
    template: Template | None = None
    required: Mapping[str, str] = field(default_factory=dict[str, str])
    runtime_config: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Score(BaseModel):
    """The parts of a candidate's score."""

    configuration: int
    capabilities: int
    weight: int
    capacity: int
    total: int


class Candidate(BaseModel):
    """A runtime that was looked at, and why it was taken or not; `pools` are live and fit."""

    runtime: str
    stage: Stage
    taken: bool = False
    score: Score | None = None
    pools: list[str] = Field(default_factory=list[str])
    reason: str = ""


class Resolution(BaseModel):
    """A decision: the runtime and its pool; without a pool what is waited for; without a runtime nothing fits."""

    runtime: str | None = None
    stage: Stage | None = None
    pool: str | None = None
    task_queue: str | None = None
    deploy: Annotated[str | None, Field(description="What would bring the pool that is missing.")] = None
    hint: Annotated[str | None, Field(description="What to change where no runtime fits.")] = None
    required: Annotated[dict[str, str], Field(description="Capabilities, and what needs them.")] = {}
    candidates: list[Candidate] = Field(default_factory=list[Candidate])

    def reasons(self) -> str:
        """Why no candidate can run it, in one line."""
        return " ".join(f"'{each.runtime}': {each.reason.rstrip('.')}." for each in self.candidates)

    def is_final(self) -> bool:
        """Whether no deployment helps: each candidate is known, and none fits."""
        return self.runtime is None and all(each.score for each in self.candidates)


@dataclass(frozen=True, slots=True)
class _Look:
    """A candidate as the resolver sees it; `obstacle` is what keeps it out whatever is deployed."""

    candidate: Candidate
    points: int = 0
    pool: LivePool | None = None
    obstacle: str = ""
    absence: str = ""
    deploy: str = ""
    problems: Sequence[str] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """Stage first, then score."""
        return (-_STAGES.index(self.candidate.stage), self.points)


class RuntimeResolver:
    """Decides by manifests and configuration; what is wanted and what is live come with each question."""

    def __init__(self, manifests: Mapping[str, RuntimeManifest], config: FrameworksConfig) -> None:
        self._manifests = manifests
        self._config = config

    def resolve(self, wanted: Wanted, pools: Sequence[LivePool]) -> Resolution:
        """The best fitting candidate with a live pool; else the best one without, which is waited for; else none."""
        template = self._configured(wanted.template) if wanted.template else None
        required = _required(wanted, template)
        looks = [self._look(name, stage, wanted, required, pools) for name, stage in self._names(wanted, template)]
        fit = [look for look in looks if not look.obstacle]
        chosen = _best([look for look in fit if look.pool]) or _best(fit)
        decision = _decision(looks, chosen, required)
        if chosen is None:
            decision.hint = self._remedy(looks, wanted, required)
        return decision

    def _names(self, wanted: Wanted, template: Template | None) -> Iterator[tuple[str, Stage]]:
        """Every candidate once, in the first stage that names it."""
        seen: set[str] = set()
        for stage, names in self._stages(wanted, template):
            for name in names:
                if name not in seen:
                    seen.add(name)
                    yield name, stage

    def _stages(self, wanted: Wanted, template: Template | None) -> Iterator[tuple[Stage, Sequence[str]]]:
        if wanted.runtime:
            yield Stage.EXPLICIT, [wanted.runtime]
            return
        if template is not None:
            yield Stage.TEMPLATE, self._suiting(template)
            yield Stage.GENERIC, self._suiting(self._configured(BUILT_IN[generic(template.type)]))
        yield Stage.DEFAULT, [self._config.default_framework]
        if template is None:
            yield Stage.SETTINGS, self._narrowed(wanted)

    def _narrowed(self, wanted: Wanted) -> list[str]:
        """Where the default runtime does not take the settings, those that do: the settings say what is meant."""
        default = self._manifests.get(self._config.default_framework)
        if default is None or not default.problems(wanted.runtime_config):
            return []
        return self._takers(wanted)

    def _takers(self, wanted: Wanted) -> list[str]:
        return [name for name, each in sorted(self._manifests.items()) if not each.problems(wanted.runtime_config)]

    def _remedy(self, looks: Sequence[_Look], wanted: Wanted, required: Mapping[str, str]) -> str | None:
        """What to do with settings that keep a candidate out."""
        if not any(look.problems for look in looks):
            return None
        able = [name for name in self._takers(wanted) if not _missing(self._manifests[name], required)]
        other = f", or name a runtime that takes them: {', '.join(able)}" if able else ""
        return f"Take the settings out of runtime_config{other}."

    def _suiting(self, template: Template) -> list[str]:
        """What the template prefers, then what says of itself that it suits it."""
        own = [name for name, manifest in sorted(self._manifests.items()) if template.name in manifest.templates]
        return [*template.preferred, *own]

    def _configured(self, template: Template) -> Template:
        """The template as the frameworks file changes it."""
        mapping = self._config.template_mappings.get(template.name)
        if mapping is None:
            return template
        return replace(
            template,
            preferred=template.preferred if mapping.preferred is None else mapping.preferred,
            required=template.required if mapping.required_capabilities is None else (*mapping.required_capabilities,),
            type=AgentType(mapping.fallback_type or template.type),
        )

    def _look(
        self, name: str, stage: Stage, wanted: Wanted, required: Mapping[str, str], pools: Sequence[LivePool]
    ) -> _Look:
        candidate = Candidate(runtime=name, stage=stage)
        manifest = self._manifests.get(name)
        if manifest is None:
            return _unknown(candidate)
        serving = [pool for pool in pools if pool.runtime == name]
        fitting = [pool for pool in (each.fitting(manifest) for each in serving) if pool.workers]
        candidate.pools = [pool.pool for pool in fitting]
        problems = manifest.problems(wanted.runtime_config)
        candidate.score = _score(manifest, len(problems), required, fitting)
        return _Look(
            candidate,
            points=candidate.score.total,
            pool=roomiest(fitting, name),
            obstacle="; ".join(filter(None, (_lacks(_missing(manifest, required), required), _refuses(problems)))),
            absence=_absence(manifest, serving),
            deploy=deployment(name, manifest.package, ranges(serving, manifest)),
            problems=problems,
        )


def used_capabilities(toolsets: Sequence[Mapping[str, Any]], configuration: Mapping[str, Any]) -> dict[str, str]:
    """The capabilities that an agent's definition makes use of, each with what does."""
    found: dict[str, str] = {}
    for toolset in toolsets:
        found.setdefault("tools", f"toolset {toolset['type']}")
        if toolset["type"] == "mcp":
            found.setdefault("mcp", "toolset mcp")
    if configuration.get("output_schema") is not None:
        found["structured_output"] = "output_schema"
    return found | dict.fromkeys(configuration.get("requires", ()), "requires")


def deployment(runtime: str, package: str = "", versions: Sequence[str] = ()) -> str:
    """What brings a pool that serves a runtime; with the versions of its package that workers would have to have."""
    wanted = f"  # with {package} {' or '.join(versions)}" if versions else ""
    return f"holdfast worker --pool {runtime}{wanted}"


def _required(wanted: Wanted, template: Template | None) -> dict[str, str]:
    theirs = dict.fromkeys(template.required, f"template {template.name}") if template else {}
    return dict(sorted({**theirs, **wanted.required}.items()))


def _unknown(candidate: Candidate) -> _Look:
    """What an agent names is waited for: it was known when it was named."""
    strange = "nothing here knows it"
    if candidate.stage is Stage.EXPLICIT:
        absence = f"{strange}, and no live pool announces it"
        return _Look(candidate, absence=absence, deploy=deployment(candidate.runtime))
    return _Look(candidate, obstacle=strange)


def _score(manifest: RuntimeManifest, problems: int, required: Mapping[str, str], pools: Sequence[LivePool]) -> Score:
    slots = sum(pool.slots for pool in pools)
    parts = {
        "configuration": PER_PROBLEM * problems or VALID,
        "capabilities": PER_CAPABILITY * sum(capability in manifest.capabilities for capability in required),
        "weight": manifest.weight,
        "capacity": FREE * sum(pool.free for pool in pools) // slots if slots else 0,
    }
    return Score(**parts, total=sum(parts.values()))


def _best(looks: Sequence[_Look]) -> _Look | None:
    """The first of the best: ties go to what stands before."""
    return max(looks, key=lambda look: look.rank, default=None)


def _missing(manifest: RuntimeManifest, required: Mapping[str, str]) -> list[str]:
    return [capability for capability in required if capability not in manifest.capabilities]


def _lacks(missing: Sequence[str], required: Mapping[str, str]) -> str:
    named = ", ".join(f"{capability} ({required[capability]})" for capability in missing)
    return f"lacks {named}" if missing else ""


def _refuses(problems: Sequence[str]) -> str:
    return f"does not take the settings: {' '.join(problems)}" if problems else ""


def _absence(manifest: RuntimeManifest, serving: Sequence[LivePool]) -> str:
    return "; ".join(filter(None, (pool.strange(manifest) for pool in serving))) or "no live pool"


def _decision(looks: Sequence[_Look], chosen: _Look | None, required: dict[str, str]) -> Resolution:
    for look in looks:
        look.candidate.taken = look is chosen and look.pool is not None
        look.candidate.reason = _reason(look, chosen)
    resolution = Resolution(required=required, candidates=[look.candidate for look in looks])
    if chosen is None:
        return resolution
    resolution.runtime, resolution.stage = chosen.candidate.runtime, chosen.candidate.stage
    if chosen.pool is None:
        resolution.deploy = chosen.deploy
    else:
        resolution.pool, resolution.task_queue = chosen.pool.pool, chosen.pool.task_queue
    return resolution


def _reason(look: _Look, chosen: _Look | None) -> str:
    if look.obstacle or chosen is None:
        return look.obstacle
    if look.pool is None:
        return f"{look.absence}: waited for" if look is chosen else look.absence
    if look is chosen:
        return f"taken, on pool {look.pool.pool}"
    if look.candidate.stage is not chosen.candidate.stage:
        return f"comes after {chosen.candidate.runtime}: {look.candidate.stage} after {chosen.candidate.stage}"
    return f"{chosen.candidate.runtime} has a higher score, or the same and comes first"
