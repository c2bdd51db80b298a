"""A collector of traces on loopback: takes OTLP over HTTP as any other does, and keeps what comes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

PATIENCE = 60.0


@dataclass(frozen=True)
class Span:
    """A span as it was exported; ids in hexadecimal, times in seconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    service: str
    scope: str
    start: float
    end: float
    is_error: bool
    told: str
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]


@dataclass
class Collector:
    """What was exported, and with which headers."""

    port: int = 0
    spans: list[Span] = field(default_factory=list[Span])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    raw: list[bytes] = field(default_factory=list[bytes])

    @property
    def settings(self) -> dict[str, str]:
        """What leads a process's traces here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }

    async def take(self, request: web.Request) -> web.Response:
        """One export."""
        body = await request.read()
        self.raw.append(body)
        self.headers.append(dict(request.headers))
        self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def of(self, execution: str) -> list[Span]:
        """The spans of all traces in which an execution is named, by their starts."""
        traces = {span.trace_id for span in self.spans if execution in str(span.attributes)}
        return sorted((span for span in self.spans if span.trace_id in traces), key=lambda span: span.start)

    async def trace(self, execution: str) -> list[Span]:
        """The trace in which an execution ran, once it has all its spans."""

        def is_whole(spans: Sequence[Span]) -> bool:
            return all(named(spans, last) for last in ("RunWorkflow", "invoke_agent"))

        spans = await self.until(execution, is_whole)
        trace_id = named(spans, "invoke_agent")[0].trace_id
        return [span for span in spans if span.trace_id == trace_id]

    async def until(self, execution: str, holds: Callable[[Sequence[Span]], bool]) -> list[Span]:
        """Wait until an execution's spans are as wanted."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds(self.of(execution)):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(tree(self.of(execution))) from None
        return self.of(execution)


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector]:
    """A collector on a free port."""
    collecting = Collector()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/traces", collecting.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collecting.port = runner.addresses[0][1]
        yield collecting
    finally:
        await runner.cleanup()


def named(spans: Sequence[Span], name: str) -> list[Span]:
    """The spans whose name begins so."""
    return [span for span in spans if span.name.startswith(name)]


def one(spans: Sequence[Span], name: str) -> Span:
    """The only span whose name begins so."""
    found = named(spans, name)
    assert len(found) == 1, tree(spans)
    return found[0]


def tree(spans: Sequence[Span]) -> str:
    """The spans as text, each below its parent."""
    known = {span.span_id for span in spans}
    began = min((span.start for span in spans), default=0.0)
    tops = [span for span in spans if span.parent_id not in known]
    return "\n".join(line for top in tops for line in _branch(spans, top, "", began))


def _branch(spans: Sequence[Span], span: Span, indent: str, began: float) -> Iterator[str]:
    yield f"{indent}{span.name}  [{span.service}]  +{(span.start - began) * 1000:.0f} ms, {_length(span)}"
    for name, value in span.attributes.items():
        yield f"{indent}    {name}={value}"
    for name, about in span.events:
        yield f"{indent}    event {name} {about}"
    for child in (found for found in spans if found.parent_id == span.span_id):
        yield from _branch(spans, child, indent + "  ", began)


def _length(span: Span) -> str:
    return f"{(span.end - span.start) * 1000:.1f} ms{', error' if span.is_error else ''}"


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for exported in request.resource_spans:
        service = str(_attributes(exported.resource.attributes).get("service.name", ""))
        for scoped in exported.scope_spans:
            for span in scoped.spans:
                yield _span(span, service, scoped.scope.name)


def _span(span: ProtoSpan, service: str, scope: str) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        service=service,
        scope=scope,
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        is_error=span.status.code == 2,
        told=span.status.message,
        attributes=_attributes(span.attributes),
        events=[(event.name, _attributes(event.attributes)) for event in span.events],
    )


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
