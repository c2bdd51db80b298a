"""How traces are switched on, and that they cost nothing while they are off."""

import subprocess
import sys

import pytest

from control_plane.settings import SettingsInvalid
from control_plane.tracing import OFF, Exporter, Tracing, read_tracing

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
OTLP = Tracing((Exporter.OTLP,))
PROCESSES = "import sys, control_plane.api.server, control_plane.worker.turns, control_plane.worker.workflows"
LOADED = "print(*(name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))))"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, OFF),
        ({"OTEL_SERVICE_NAME": "mine"}, OFF),
        (ENDPOINT, OTLP),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, OTLP),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, OTLP),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, OFF),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "console"}, Tracing((Exporter.CONSOLE,))),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp, console"}, Tracing((Exporter.OTLP, Exporter.CONSOLE))),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, OFF),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, OTLP),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, OTLP),
        (ENDPOINT | {CONTENT: "false"}, OTLP),
        (ENDPOINT | {CONTENT: "True"}, Tracing((Exporter.OTLP,), captures_content=True)),
        (ENDPOINT | {CONTENT: "SPAN_ONLY"}, Tracing((Exporter.OTLP,), captures_content=True)),
    ],
)
def test_opentelemetrys_own_variables_decide(environ: dict[str, str], wanted: Tracing) -> None:
    assert read_tracing(environ) == wanted


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER: there is no exporter 'jaeger' here."),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: traces are not exported"),
        (ENDPOINT | {CONTENT: "perhaps"}, f"{CONTENT}: 'perhaps' is not known. Use true or false."),
    ],
)
def test_what_cannot_be_used_is_said(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsInvalid, match=named.replace("(", r"\(")) as refused:
        read_tracing(environ)

    assert "Use " in str(refused.value) or "Set " in str(refused.value)


def test_without_an_exporter_no_process_loads_the_sdk() -> None:
    loaded = subprocess.run([sys.executable, "-c", f"{PROCESSES}\n{LOADED}"], capture_output=True, check=True)

    assert loaded.stdout.split() == []
