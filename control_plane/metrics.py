"""What processes are, and what the control plane knows and counts, for Prometheus."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: A label's values, and the gauge's.
Samples = Mapping[tuple[str, ...], float]


def new_registry(component: str, build_id: str = "") -> CollectorRegistry:
    """What every process of ours says of itself: what it is, and its memory, CPU and files."""
    disable_created_metrics()
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    labels = {"component": component, "version": version("holdfast"), "build_id": build_id}
    Gauge("holdfast_build_info", "1, for each process.", list(labels), registry=registry).labels(**labels).set(1)
    return registry


def exposed(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The page in the form that the caller reads, and that form's content type."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def gauge(name: str, text: str, labels: Sequence[str], samples: Samples) -> Metric:
    """A gauge as it is now."""
    family = GaugeMetricFamily(f"holdfast_{name}", text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family


@dataclass(slots=True)
class Load:
    """What the installation has to do, as database and Temporal last said; `up` tells which of the two answered."""

    executions: Samples = field(default_factory=dict[tuple[str, ...], float])
    queued: Samples = field(default_factory=dict[tuple[str, ...], float])
    oldest: Samples = field(default_factory=dict[tuple[str, ...], float])
    workers: Samples = field(default_factory=dict[tuple[str, ...], float])
    backlog: Samples = field(default_factory=dict[tuple[str, ...], float])
    up: Samples = field(default_factory=dict[tuple[str, ...], float])


@dataclass(frozen=True, slots=True)
class LedgerCounts:
    """Of one transaction: runtimes of attempts whose worker fell silent, runtimes and ends of executions."""

    lost: list[str] = field(default_factory=list[str])
    ended: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


class ApiMetrics(Collector):
    """The control plane's metrics: what this process counts, and the `load` that all replicas see alike."""

    def __init__(self) -> None:
        self.registry = new_registry("control-plane")
        self.load = Load()
        self._lost = self._counter("attempts_lost", "Attempts whose worker fell silent.", "runtime")
        self._ended = self._counter("executions_ended", "Executions that ended.", "runtime", "status")
        self._problems = self._counter("api_errors", "Errors that the API answered.", "code", "status")
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The gauges of the load."""
        load, pool = self.load, ("pool",)
        yield gauge("executions", "Executions under way.", ("status", "runtime", "pool"), load.executions)
        yield gauge("queue_depth", "Executions that wait for their first slot.", pool, load.queued)
        yield gauge("queue_age_seconds", "Age of the oldest one that waits.", pool, load.oldest)
        yield gauge("task_queue_backlog", "Turns that wait in Temporal.", pool, load.backlog)
        yield gauge("workers", "Live workers.", ("pool", "kind"), load.workers)
        yield gauge("dependency_up", "Whether it answered.", ("dependency",), load.up)

    def describe(self) -> Iterator[Metric]:
        """Their names, so that nobody else takes them."""
        return self.collect()

    def show(self, load: Load) -> None:
        """Show this load from now on; of a counter that appeared with 1, no rate would see the first."""
        self.load = load
        for _, runtime, _ in load.executions:
            self._lost.labels(runtime)

    def committed(self, counts: LedgerCounts) -> None:
        """What a transaction changed is in the database."""
        for runtime in counts.lost:
            self._lost.labels(runtime).inc()
        for runtime, status in counts.ended:
            self._ended.labels(runtime, status).inc()

    def problem(self, code: str, status: int) -> None:
        """The API answered with an error."""
        self._problems.labels(code, status).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"holdfast_{name}", text, labels, registry=self.registry)
