"""Alerts as Prometheus' own rule tests see them: what they tell of, and when."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.source import ROOT

ALERTS = ROOT / "deploy" / "observability" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool, which runs rules, is not here")

UNKNOWN = 'holdfast_tool_invocations_total{tool="shell", outcome="unknown"}'
LOST = 'holdfast_attempts_lost_total{runtime="native"}'
ENDED = 'holdfast_attempts_total{runtime="native", outcome="completed"}'
DEPTH, BACKLOG = 'holdfast_queue_depth{pool="native"}', 'holdfast_task_queue_backlog{pool="native"}'
WORKERS = 'holdfast_workers{pool="native", kind="runtime"}'

Series = Mapping[str, str]


def fires(path: Path, alert: str, at: str, series: Series) -> bool:
    """Whether the alert fires at that time, after series that begin at 0 min and have a sample each minute."""
    told = [{"series": name, "values": values} for name, values in series.items()]
    nothing: list[str] = []
    asked = [{"alertname": alert, "eval_time": at, "exp_alerts": nothing}]
    rules = {"rule_files": [str(ALERTS)], "tests": [{"interval": "1m", "input_series": told, "alert_rule_test": asked}]}
    path.write_text(yaml.safe_dump(rules))
    assert PROMTOOL is not None
    run = subprocess.run([PROMTOOL, "test", "rules", path], capture_output=True, text=True, check=False, timeout=60)
    silent = run.returncode == 0
    assert silent or f"alertname: {alert}" in run.stdout + run.stderr, run.stdout + run.stderr
    return not silent


@pytest.mark.parametrize(
    ("alert", "at", "series", "expected"),
    [
        ("HoldfastOutcomeUnknown", "21m", {UNKNOWN: "_x20 1x5"}, True),
        ("HoldfastOutcomeUnknown", "25m", {UNKNOWN: "1x20 2x20"}, True),
        ("HoldfastOutcomeUnknown", "60m", {UNKNOWN: "_x20 1x60"}, False),
        ("HoldfastOutcomeUnknown", "25m", {UNKNOWN: "0x40"}, False),
        ("HoldfastAttemptsLost", "20m", {LOST: "0x10 8x30", ENDED: "0+5x10 stale"}, True),
        ("HoldfastAttemptsLost", "20m", {LOST: "0x10 8x30"}, True),
        ("HoldfastAttemptsLost", "20m", {LOST: "0x10 1x30", ENDED: "0+60x40"}, False),
        ("HoldfastAttemptsLost", "20m", {LOST: "0+6x40", ENDED: "0+60x40"}, True),
        ("HoldfastNoWorker", "10m", {DEPTH: "0x10", BACKLOG: "0x3 7x7", WORKERS: "1x3 stale"}, True),
        ("HoldfastNoWorker", "10m", {DEPTH: "2x10", BACKLOG: "0x10"}, True),
        ("HoldfastNoWorker", "10m", {DEPTH: "2x10", BACKLOG: "7x10", WORKERS: "1x10"}, False),
        ("HoldfastNoWorker", "10m", {DEPTH: "0x10", BACKLOG: "0x10"}, False),
    ],
)
def test_an_alert_fires_when_it_should(tmp_path: Path, alert: str, at: str, series: Series, expected: bool) -> None:
    assert fires(tmp_path / "rules.yaml", alert, at, series) is expected


def test_prometheus_takes_every_rule() -> None:
    assert PROMTOOL is not None
    checked: Any = subprocess.run([PROMTOOL, "check", "rules", ALERTS], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
