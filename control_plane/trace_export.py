"""OpenTelemetry's SDK, set up for Holdfast: whose spans there are, what is left out of them, where they go."""

import os
import socket
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.environment_variables import OTEL_PROPAGATORS
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NoOpTracer, Status, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes
from temporalio.contrib.opentelemetry import OpenTelemetryPlugin, ReplaySafeTracerProvider
from temporalio.contrib.opentelemetry._id_generator import TemporalIdGenerator

from control_plane.tracing import Exporter

#: Whose spans are exported; frameworks and SDKs that trace themselves may write what nobody asked for.
SCOPES = ("holdfast", "temporalio.", "fastapi")
#: May hold credentials of the collector: read once, then not there for anybody else in the process.
HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
#: Longest wait for a collector at a process's end, in seconds.
FLUSH_SECONDS = 5.0
#: What an exception's event may tell: messages and stacks have content in them.
EXCEPTION_TYPE = "exception.type"


class OwnTracers(ReplaySafeTracerProvider):
    """Gives tracers to Holdfast and to Temporal's SDK; everybody else's record nothing."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """A tracer for a module."""
        if not instrumenting_module_name.startswith(SCOPES):
            return NoOpTracer()
        return super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)


class WithoutMessages(SpanExporter):
    """Exports spans without the texts of errors: prompts and answers may be quoted in them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch."""
        return self._exporter.export([_without_messages(span) for span in spans])

    def shutdown(self) -> None:
        """Export nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what waits, within so many milliseconds."""
        return self._exporter.force_flush(timeout_millis)


def temporal_plugin() -> OpenTelemetryPlugin:
    """Carries a trace in the headers of workflows and activities, and gives each of them a span."""
    return OpenTelemetryPlugin(add_temporal_spans=True)


@contextmanager
def exporting(exporters: Sequence[Exporter], service: str, about: Mapping[str, str]) -> Generator[None]:
    """Record spans and export them, as OTEL_* say where and how many; leaving waits for the last ones, not for long."""
    ids = TemporalIdGenerator(RandomIdGenerator())
    provider = TracerProvider(resource=_resource(service, about), shutdown_on_exit=False, id_generator=ids)
    for exporter in exporters:
        provider.add_span_processor(_processor(exporter))
    trace.set_tracer_provider(OwnTracers(provider, ids))
    if not os.environ.get(OTEL_PROPAGATORS):
        # A caller's baggage may say anything, and would travel on to everybody whom we ask.
        set_global_textmap(TraceContextTextMapPropagator())
    for name in HEADERS:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(FLUSH_SECONDS)


def _processor(exporter: Exporter) -> SpanProcessor:
    if exporter is Exporter.CONSOLE:
        return SimpleSpanProcessor(WithoutMessages(ConsoleSpanExporter(out=sys.stderr)))
    return BatchSpanProcessor(WithoutMessages(OTLPSpanExporter()))


def _resource(service: str, about: Mapping[str, str]) -> Resource:
    """What the spans come from; the operator's own words win."""
    ours = {
        "service.name": service,
        "service.namespace": "holdfast",
        "service.version": version("holdfast"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        **about,
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _without_messages(span: ReadableSpan) -> ReadableSpan:
    if not span.events and span.status.description is None:
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=[_bare(event) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _bare(event: Event) -> Event:
    if event.name != "exception":
        return event
    kind = (event.attributes or {}).get(EXCEPTION_TYPE)
    return Event(event.name, {} if kind is None else {EXCEPTION_TYPE: kind}, event.timestamp)
