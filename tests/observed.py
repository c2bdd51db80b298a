"""A stack that has been at work, and the metrics that its processes serve."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from control_plane.errors import InternalError
from services.metrics import UNKNOWN
from tests.conftest import NewStack
from tests.stack import Stack, free_port

#: What the turns in it do: tools that work, fail and are not there, models that fail, are priced, and are replayed.
WRITE = 'tool write_file {"path": "a", "content": "x"}'
SCRIPT = f'[[{WRITE} && read_file {{"path": "gone"}} && nothing {{}};; emit 40;; usage 100 40 cached 20 reasoning 10]]'
SLOW = f"[[{WRITE};; emit 400 @20]]"
STUCK = f"[[{WRITE};; hang]]"
WORK = (("observed", SCRIPT), ("priced", "[[say x;; usage 1000 500]]"), ("observed", "[[error 400]]"))
POOL = "native"
#: For tests that may be the first to want the stack: it starts, loses a worker and works.
PATIENTLY = pytest.mark.timeout(400)
TOOLS = [{"type": "file_system"}]
#: Values that a stack has only on a bad day: a tool call whose worker was lost in it, and a fault of Holdfast's own.
RARE = (
    ("holdfast_tool_invocations_total", "outcome", UNKNOWN),
    ("holdfast_api_errors_total", "status", str(InternalError.status)),
)


@dataclass(frozen=True, slots=True)
class Page:
    """One process's metrics, by name."""

    text: str
    families: Mapping[str, Metric] = field(default_factory=dict[str, Metric])

    @classmethod
    def read(cls, text: str) -> "Page":
        """Take a page apart."""
        return cls(text, {family.name: family for family in text_string_to_metric_families(text)})

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        samples = [sample for family in self.families.values() for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


@dataclass(frozen=True, slots=True)
class Observed:
    """The pages of the control plane and of a worker, while one turn runs; `execution` lost its worker."""

    api: Page
    worker: Page
    execution: str
    stack: Stack

    @property
    def labels(self) -> Mapping[str, Mapping[str, set[str]]]:
        """Every series there is, with the labels that its samples have, and their values."""
        return labels_of([*self.api.families.values(), *self.worker.families.values()])


def labels_of(families: Sequence[Metric]) -> dict[str, dict[str, set[str]]]:
    """The names of samples, with their labels and the values of these."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, label, value in (*RARE, *_values(families)):
        found[name][label].add(value)
    return {sample.name: dict(found[sample.name]) for family in families for sample in family.samples}


def _values(families: Sequence[Metric]) -> Iterator[tuple[str, str, str]]:
    for sample in (sample for family in families for sample in family.samples):
        yield from ((sample.name, label, value) for label, value in sample.labels.items())


async def page_of(port: int) -> Page:
    """What a process says at its port."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200, answer.text
    return Page.read(answer.text)


@pytest.fixture(scope="session")
async def observed(new_stack: NewStack) -> AsyncGenerator[Observed]:
    """A worker that was killed in a turn, another one that took it over, and work of every kind."""
    async with new_stack(pools=(POOL,)) as stack:
        lost, port = await _lose_a_worker(stack), free_port()
        stack.add_worker(POOL, "second", HOLDFAST_WORKER_HEALTH_PORT=str(port)).start()
        await stack.result(lost)
        for agent, prompt in WORK:
            await stack.result(await stack.start(prompt, agent))
        await stack.start("x", "poolless")
        await stack.http.get("/api/v1/agents/nobody")
        running = await stack.start(STUCK, "observed")
        await stack.until_event(running, "tool.completed")
        yield Observed(await page_of(stack.ports["api"]), await page_of(port), lost, stack)


async def _lose_a_worker(stack: Stack) -> str:
    await stack.agent("observed", runtime=POOL, toolsets=TOOLS)
    await stack.agent("priced", runtime=POOL, model_id="deepseek/deepseek-chat")
    await stack.agent("poolless", runtime="langgraph")
    execution = await stack.start(SLOW, "observed")
    await stack.until_event(execution, "tool.completed")
    stack.processes[POOL].kill()
    return execution
