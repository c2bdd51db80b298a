"""Traces, switched on by OpenTelemetry's own variables. Where they name no exporter its SDK is not even loaded."""

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from temporalio.client import Plugin

from control_plane.settings import SettingsInvalid

#: Switches the OTLP exporter on; the second is for traces alone.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
EXPORTERS = "OTEL_TRACES_EXPORTER"
DISABLED = "OTEL_SDK_DISABLED"
#: The switch of OpenTelemetry's own instrumentations of models; those that write events mean nothing here.
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CAPTURING = frozenset({"true", "span_only", "span_and_event"})
NOT_CAPTURING = frozenset({"", "false", "no_content", "event_only"})


class Exporter(StrEnum):
    """Where spans go: to a collector over OTLP/HTTP, or as JSON to stderr."""

    OTLP = "otlp"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Tracing:
    """What the variables ask for; without exporters there are no traces."""

    exporters: Sequence[Exporter] = ()
    captures_content: bool = False

    @property
    def is_on(self) -> bool:
        """Whether spans go anywhere."""
        return bool(self.exporters)

    def plugins(self) -> Sequence[Plugin]:
        """What carries a trace through Temporal: to be given to its client."""
        if not self.is_on:
            return ()
        from control_plane.trace_export import temporal_plugin  # noqa: PLC0415  the SDK, only where it is wanted

        return (temporal_plugin(),)


OFF = Tracing()


def read_tracing(environ: Mapping[str, str] = os.environ) -> Tracing:
    """Read the variables.

    Raises:
        SettingsInvalid: one has a value that cannot be used here.
    """
    if _value(environ, DISABLED) == "true":
        return OFF
    exporters = _exporters(environ)
    if Exporter.OTLP in exporters:
        _check_protocol(environ)
    return Tracing(exporters, captures_content(environ))


@contextmanager
def tracing(service: str, **about: str) -> Generator[Tracing]:
    """Trace this process; what is not exported yet at the end goes out then.

    `service` names it unless OTEL_SERVICE_NAME does; `about` says more of it, by attribute.

    Raises:
        SettingsInvalid: OpenTelemetry's variables cannot be used.
    """
    wanted = read_tracing()
    if not wanted.is_on:
        yield wanted
        return
    from control_plane.trace_export import exporting  # noqa: PLC0415  the SDK, only where it is wanted

    with exporting(wanted.exporters, service, about):
        yield wanted


def _exporters(environ: Mapping[str, str]) -> tuple[Exporter, ...]:
    default = Exporter.OTLP if any(_value(environ, name) for name in ENDPOINTS) else "none"
    names = [name.strip() for name in (_value(environ, EXPORTERS) or default).split(",")]
    known = set(Exporter)
    if unknown := set(names) - known - {"none", ""}:
        found = ", ".join(sorted(unknown))
        raise SettingsInvalid([f"{EXPORTERS}: there is no exporter '{found}' here. Use otlp, console, or none."])
    return tuple(Exporter(name) for name in dict.fromkeys(names) if name in known)


def _check_protocol(environ: Mapping[str, str]) -> None:
    for name in PROTOCOLS:
        if (found := _value(environ, name)) and found != PROTOCOL:
            remedy = f"Set {PROTOCOL}, and the collector's port for it (usually 4318), or unset the variable."
            raise SettingsInvalid([f"{name}: traces are not exported over '{found}'. {remedy}"])


def captures_content(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether traces and logs may tell what was said.

    Raises:
        SettingsInvalid: the variable has a value that means nothing.
    """
    value = _value(environ, CONTENT)
    if value not in CAPTURING | NOT_CAPTURING:
        raise SettingsInvalid([f"{CONTENT}: '{value}' is not known. Use true or false."])
    return value in CAPTURING


def _value(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip().lower()
