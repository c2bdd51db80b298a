"""Dashboard, alerts and autoscalers ask for metrics that a stack at work really serves, by labels that they have."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tests.architecture.source import ROOT
from tests.deploy.manifests import built, needs_kubectl, of_kind, pods
from tests.deploy.promql import kept, misfits, parsed, placeholders
from tests.observed import PATIENTLY, Observed

OBSERVABILITY = ROOT / "deploy" / "observability"
pytestmark = PATIENTLY
DASHBOARD: Mapping[str, Any] = json.loads((OBSERVABILITY / "dashboard.json").read_text())
ALERTS: Mapping[str, Any] = yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())

Duration = Annotated[str, StringConstraints(pattern=r"^[0-9]+[smhd]$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class Notes(Form):
    summary: Text
    description: Text


class Severity(Form):
    severity: Literal["warning", "critical"]


class Rule(Form):
    """prometheus.io/docs/prometheus/latest/configuration/alerting_rules"""

    alert: Annotated[str, StringConstraints(pattern=r"^Holdfast[A-Z]\w+$")]
    expr: Text
    lasts: Duration | None = Field(None, alias="for")
    labels: Severity
    annotations: Notes


class Group(Form):
    name: Text
    rules: Annotated[list[Rule], Field(min_length=1)]


class Rules(Form):
    groups: Annotated[list[Group], Field(min_length=1)]


RULES = [rule for group in Rules.model_validate(ALERTS).groups for rule in group.rules]


def panels() -> Iterator[Mapping[str, Any]]:
    """Those that show something."""
    return (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def targets() -> Iterator[Mapping[str, Any]]:
    """Every query of the dashboard."""
    return (target for panel in panels() for target in panel["targets"])


def variables() -> Iterator[str]:
    """`label_values(metric, label)` as an expression."""
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            values = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert values is not None
            metric, label = values.groups()
            yield f"count by ({label}) ({metric})"


def autoscalers() -> Iterator[str]:
    """What the autoscalers of the overlays ask for."""
    objects = built("overlays/autoscaled")
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            yield f"avg by (pod, namespace) ({metric['pods']['metric']['name']})"
    for scaler in of_kind(objects, "ScaledObject"):
        yield from (each["metadata"]["query"] for each in scaler["spec"]["triggers"] if each["type"] == "prometheus")


def test_the_dashboard_asks_for_what_there_is(observed: Observed) -> None:
    asked = [*(target["expr"] for target in targets()), *variables()]

    assert len(asked) > 30
    assert [(each, found) for each in asked if (found := misfits(each, observed.labels))] == []


def test_alerts_ask_for_what_there_is(observed: Observed) -> None:
    assert [(rule.alert, found) for rule in RULES if (found := misfits(rule.expr, observed.labels))] == []


@needs_kubectl
def test_autoscalers_ask_for_what_there_is(observed: Observed) -> None:
    asked = list(autoscalers())

    assert len(asked) == 2
    assert [(each, found) for each in asked if (found := misfits(each, observed.labels))] == []


def test_legends_and_messages_show_labels_that_are_left(observed: Observed) -> None:
    legends = [(target["expr"], target["legendFormat"]) for target in targets()]
    messages = [(rule.expr, rule.annotations.summary + rule.annotations.description) for rule in RULES]

    for expression, text in (*legends, *messages):
        assert placeholders(text) <= kept(parsed(expression), observed.labels), (expression, text)


def test_the_check_finds_what_is_not_there(observed: Observed) -> None:
    wrong = {
        "rate(holdfast_token_total[5m])": "there is no metric holdfast_token_total",
        'holdfast_slots{queue="x"}': "holdfast_slots has no label queue",
        'holdfast_workers{kind="runtimes"}': "holdfast_workers has no kind that is runtimes",
        'holdfast_slots{pool=~"nat"}': "holdfast_slots has no pool that is nat",
        'holdfast_api_errors_total{status!~"6.."}': "holdfast_api_errors_total has no status that is 6..",
        "sum by (model) (holdfast_slots)": "holdfast_slots is grouped by model, which it has not",
        "holdfast_slots * on (kind) holdfast_slots_used": "holdfast_slots is grouped by kind, which it has not",
    }

    assert [misfits(each, observed.labels)[0] for each in wrong] == list(wrong.values())
    with pytest.raises(ValueError, match="unclosed"):
        parsed("sum(rate(holdfast_tokens_total[5m])")


def test_every_alert_and_every_panel_has_a_name_of_its_own() -> None:
    alerts, ids = [rule.alert for rule in RULES], [panel["id"] for panel in DASHBOARD["panels"]]

    assert sorted(set(alerts)) == sorted(alerts)
    assert sorted(set(ids)) == sorted(ids)
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}


def test_everything_that_workers_and_control_plane_serve_is_shown_or_watched(observed: Observed) -> None:
    text = " ".join([*(target["expr"] for target in targets()), *(rule.expr for rule in RULES)])
    ours = {name for name in (*observed.api.families, *observed.worker.families) if name.startswith("holdfast_")}

    assert {name for name in ours if name not in text} == {"holdfast_turns_running"}


@needs_kubectl
def test_prometheus_reaches_the_ports_that_it_is_told_of() -> None:
    objects = built("overlays/autoscaled")
    (monitor,) = of_kind(objects, "PodMonitor")
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    scraped = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
    allowed = {port["port"] for rule in policies["prometheus"]["ingress"] for port in rule["ports"]}
    named = {port["name"] for pod in pods(objects) for port in pod["spec"]["containers"][0].get("ports", ())}

    assert scraped == allowed == named == {"http", "health"}
    assert monitor["spec"]["selector"] == policies["prometheus"]["podSelector"]
