"""What `kubectl apply -k` would send is valid, hangs together, and breaks no rule of the cluster."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import pytest
import yaml

from activities.queues import pool_queue
from control_plane.settings import PREFIX, Settings
from control_plane.tracing import Exporter, read_tracing
from control_plane.worker.process import HAND_BACK
from control_plane.worker.slots import capacity_of
from runtimes.manifests.known import KNOWN
from tests.architecture.source import ROOT
from tests.deploy.manifests import (
    WORKLOADS,
    Object,
    buildable,
    built,
    name_of,
    needs_kubectl,
    of_kind,
    path_of,
    pods,
)
from tests.deploy.pod_security import violations
from tests.docs.markdown import Document
from tests.docs.test_docs import misfits

SCHEMAS = ROOT / "tests" / "deploy" / "schemas"
#: Kinds that Kubernetes itself does not know.
CUSTOM = ("ScaledObject", "WorkerDeployment", "Connection", "PodMonitor")
VERSIONS = ("1.30", "1.34", "1.37")
#: Bytes of a worker before its first turn, as `make bench` measures them, and the units of Kubernetes.
WORKER = 250_000_000
UNITS = {"Mi": 2**20, "Gi": 2**30}
DIRECTORIES = list(buildable())
WHOLE = [path for path in DIRECTORIES if path.count("/") == 1 and path.startswith("overlays/")]

pytestmark = needs_kubectl


def env_of(pod: Object) -> dict[str, Any]:
    """What the first container sets itself."""
    return {each["name"]: each for each in pod["spec"]["containers"][0].get("env", ())}


def settings_of(objects: Sequence[Object]) -> Mapping[str, str]:
    """The shared settings."""
    (config,) = of_kind(objects, "ConfigMap")
    return config["data"]


def size(text: str) -> int:
    """Bytes."""
    return int(text[:-2]) * UNITS[text[-2:]]


@pytest.mark.parametrize("path", DIRECTORIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_that_kubernetes_takes(path: str, version: str) -> None:
    for each in built(path):
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("path", WHOLE)
def test_objects_of_other_projects_are_what_those_take(path: str) -> None:
    for each in of_kind(built(path), *CUSTOM):
        schema = json.loads((SCHEMAS / f"{each['kind']}.json").read_text())
        jsonschema_rs.validator_for(schema).validate(each["spec"])
        if each["kind"] == "WorkerDeployment":
            template = each["spec"]["template"]
            selector = {"matchLabels": template["metadata"]["labels"]}
            inner = {"selector": selector, "template": template}
            deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": each["metadata"], "spec": inner}
            kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


def test_the_schemas_refuse_a_misspelt_field() -> None:
    (scaled,) = of_kind(built("overlays/autoscaled"), "ScaledObject")
    misspelt = {**scaled["spec"], "polingInterval": 15}
    schema = json.loads((SCHEMAS / "ScaledObject.json").read_text())

    assert not jsonschema_rs.validator_for(schema).is_valid(misspelt)


@pytest.mark.parametrize("path", DIRECTORIES)
def test_every_pod_is_restricted(path: str) -> None:
    for pod in pods(built(path)):
        assert violations(pod["spec"]) == (["worker sees all of /proc"] if is_sandboxed(pod) else [])
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()


def is_sandboxed(pod: Object) -> bool:
    """Whether its users are nobody outside of it, and its profile is the one that bubblewrap needs."""
    profile = pod["spec"]["securityContext"]["seccompProfile"]
    return pod["spec"].get("hostUsers") is False and profile.get("localhostProfile") == "holdfast/sandbox.json"


def test_only_the_pool_that_wants_it_is_sandboxed() -> None:
    objects = built("overlays/sandboxed")
    (namespace,) = of_kind(objects, "Namespace")
    found = [pod["metadata"]["labels"].get("holdfast/pool") for pod in pods(objects) if is_sandboxed(pod)]

    assert found == ["claude_code"]
    assert namespace["metadata"]["labels"] == {
        "app.kubernetes.io/name": "holdfast",
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
    }


def test_the_check_of_pods_finds_what_is_wrong() -> None:
    (pod, *_) = pods(built("base"))
    spec = pod["spec"]
    loose = {**spec["containers"][0], "securityContext": {"privileged": True}}

    assert violations({**spec, "hostNetwork": True}) == ["hostNetwork is set"]
    assert len(violations({**spec, "containers": [loose]})) == 2
    assert violations({**spec, "volumes": [{"name": "x", "hostPath": {"path": "/"}}]}) == ["volume x is a hostPath"]


def _needed(objects: Sequence[Object]) -> Iterator[str]:
    """What others are asked for by name."""
    for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        yield "{kind}/{name}".format(**each["spec"]["scaleTargetRef"])
    for pod in pods(objects):
        yield f"ServiceAccount/{pod['spec']['serviceAccountName']}"
        for source in pod["spec"]["containers"][0]["envFrom"]:
            yield f"ConfigMap/{source['configMapRef']['name']}"


@pytest.mark.parametrize("path", WHOLE)
def test_names_lead_to_what_is_there(path: str) -> None:
    objects = built(path)

    assert set(_needed(objects)) <= {name_of(each) for each in objects}
    assert {each["metadata"].get("namespace", "holdfast") for each in objects} == {"holdfast"}


@pytest.mark.parametrize("path", WHOLE)
def test_each_selector_finds_the_pods_of_one_template(path: str) -> None:
    objects = built(path)
    labels = [pod["metadata"]["labels"] for pod in pods(objects)]

    for each in of_kind(objects, "Deployment", "PodDisruptionBudget", "Service"):
        selector = each["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert sum(wanted.items() <= found.items() for found in labels) == 1, name_of(each)


@pytest.mark.parametrize("path", WHOLE)
def test_settings_are_settings(path: str) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    objects = built(path)
    given = [*settings_of(objects), *(name for pod in pods(objects) for name in env_of(pod))]

    unknown = {name for name in given if name.startswith(PREFIX) and name.split("__")[0] not in known}
    assert unknown == {"HOLDFAST_SECRETS_DIR"}


def test_containers_run_commands_that_there_are() -> None:
    commands = {tuple(pod["spec"]["containers"][0]["args"]) for pod in pods([*built("base"), *built("pools/default")])}

    assert [misfits(list(command)) for command in commands] == [[]] * 4


@pytest.mark.parametrize("path", WHOLE)
def test_workers_get_longer_to_end_than_they_take(path: str) -> None:
    objects = built(path)
    grace = float(settings_of(objects)["HOLDFAST_WORKER_GRACE_SECONDS"])
    cancel = Settings.model_fields["cancel_deadline_seconds"].default

    for each in of_kind(objects, "Deployment", "WorkerDeployment"):
        if each["metadata"]["name"] != "control-plane":
            pod = each["spec"]["template"]["spec"]
            assert pod["terminationGracePeriodSeconds"] > grace + cancel + HAND_BACK.total_seconds()


@pytest.mark.parametrize("path", [path for path in DIRECTORIES if path.startswith("pools/")])
def test_a_pool_has_the_memory_that_its_runtime_says(path: str) -> None:
    (deployment,) = of_kind(built(path), "Deployment")
    runtime = deployment["spec"]["template"]["metadata"]["annotations"]["holdfast/runtimes"]
    resources = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
    manifest = KNOWN[runtime]

    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    left = size(resources["limits"]["memory"]) - WORKER
    assert capacity_of(Settings(), [manifest], left).turns[runtime] == manifest.slots


def test_every_runtime_has_a_pool() -> None:
    served = {
        each["spec"]["template"]["metadata"]["labels"]["holdfast/pool"]
        for path in DIRECTORIES
        if path.startswith("pools/")
        for each in of_kind(built(path), "Deployment")
    }

    assert served == KNOWN.keys() - {"scripted"}


def test_an_autoscaler_looks_at_its_own_pool() -> None:
    objects = built("overlays/autoscaled")
    (scaled,) = of_kind(objects, "ScaledObject")
    pool = scaled["metadata"]["labels"]["holdfast/pool"]
    queue, slots = (trigger["metadata"] for trigger in scaled["spec"]["triggers"])
    scaled_by_others = [each for each in of_kind(objects, "Deployment") if "replicas" not in each["spec"]]

    assert queue["taskQueue"] == pool_queue(pool)
    assert re.findall(r'pool="(\w+)"', slots["query"]) == [pool, pool]
    assert [each["metadata"]["name"] for each in scaled_by_others] == ["pool-default", "pool-native"]


def test_temporal_is_named_in_one_place(tmp_path: Path) -> None:
    moved = tmp_path / "kubernetes"
    shutil.copytree(path_of(), moved)
    base = moved / "base" / "kustomization.yaml"
    text = base.read_text().replace("temporal-frontend.temporal:7233", "elsewhere:7233")
    base.write_text(text.replace("TEMPORAL_NAMESPACE=default", "TEMPORAL_NAMESPACE=other"))

    versioned, autoscaled = (built(str(moved / "overlays" / name)) for name in ("versioned", "autoscaled"))

    (connection,), (scaled,) = of_kind(versioned, "Connection"), of_kind(autoscaled, "ScaledObject")
    queue = scaled["spec"]["triggers"][0]["metadata"]
    workers = of_kind(versioned, "WorkerDeployment")
    assert connection["spec"] == {"hostPort": "elsewhere:7233"}
    assert {each["spec"]["workerOptions"]["temporalNamespace"] for each in workers} == {"other"}
    assert (queue["endpointFromEnv"], queue["namespace"]) == ("TEMPORAL_ADDRESS", "other")
    assert "temporal-frontend" not in json.dumps([*versioned, *autoscaled])


def test_the_page_names_a_pools_deployment_and_build_to_its_autoscaler(tmp_path: Path) -> None:
    patches = yaml.safe_load("patches:" + Document("docs/kubernetes.md").blocks("yaml").partition("patches:")[2])
    pool = os.path.relpath(path_of("overlays", "autoscaled", "native").resolve(), tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [pool], **patches}))

    (scaled,) = of_kind(built(str(tmp_path)), "ScaledObject")

    queue = scaled["spec"]["triggers"][0]["metadata"]
    jsonschema_rs.validator_for(json.loads((SCHEMAS / "ScaledObject.json").read_text())).validate(scaled["spec"])
    assert queue["workerDeploymentName"] == queue["taskQueue"].replace(".", "-")
    assert queue["workerDeploymentBuildId"] == "3f2a1c9"


def test_the_operators_prometheus_is_asked() -> None:
    (scaled,) = of_kind(built("overlays/autoscaled"), "ScaledObject")

    assert scaled["spec"]["triggers"][1]["metadata"]["serverAddress"] == "http://prometheus-operated.monitoring:9090"


def test_names_are_answered_by_the_clusters_dns_or_the_nodes() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(built("base"), "NetworkPolicy")}
    (names,) = policies["names"]["egress"]

    assert names["to"][1] == {"ipBlock": {"cidr": "169.254.20.10/32"}}
    assert {(port["protocol"], port["port"]) for port in names["ports"]} == {("UDP", 53), ("TCP", 53)}


def _peers(policy: Object) -> Iterator[Object]:
    for rule in policy["spec"].get("egress", ()):
        assert rule.get("to"), f"{policy['metadata']['name']} leads anywhere"
        yield from rule["to"]


@pytest.mark.parametrize("path", WHOLE)
def test_each_way_out_leads_to_a_peer_that_is_named(path: str) -> None:
    policies = {each["metadata"]["name"]: each for each in of_kind(built(path), "NetworkPolicy")}
    components = {
        name: each["spec"]["podSelector"]["matchExpressions"][0]["values"]
        for name, each in policies.items()
        if name in ("names", "temporal", "database")
    }

    peers = {name: list(_peers(policy)) for name, policy in policies.items()}

    assert all(
        peer.keys() <= {"namespaceSelector", "podSelector", "ipBlock"} for each in peers.values() for peer in each
    )
    assert components["temporal"] == ["control-plane", "workflow-worker", "pool"]
    assert components["database"] == ["control-plane", "migrate"]
    for peer in (*peers["names"], *peers["temporal"]):
        if "namespaceSelector" in peer:
            assert "app.kubernetes.io/name" not in json.dumps(peer), "kustomize has added our own label"
            assert len(peer["podSelector"]["matchExpressions"]) == 1


def test_the_page_tells_where_another_database_is_named(tmp_path: Path) -> None:
    patches = yaml.safe_load(Document("docs/kubernetes.md").blocks("yaml peers"))
    example = yaml.safe_load(path_of("overlays", "example", "kustomization.yaml").read_text())
    policies = {each["metadata"]["name"]: each for each in of_kind(built("overlays/example"), "NetworkPolicy")}

    assert patches["patches"] == example["patches"]
    assert list(_peers(policies["database"])) == [{"ipBlock": {"cidr": "192.0.2.10/32"}}]


@pytest.mark.parametrize("path", WHOLE)
def test_the_api_answers_to_named_hosts(path: str) -> None:
    objects = built(path)
    names = settings_of(objects)["HOLDFAST_ALLOWED_HOSTS"].split(",")
    url = urlsplit(settings_of(objects)["HOLDFAST_API_URL"])

    assert not any("*" in name for name in names)
    assert {url.hostname, "localhost", "127.0.0.1"} <= set(names)
    assert not any("HOLDFAST_ALLOWED_HOSTS" in env_of(pod) for pod in pods(objects))


def test_a_pool_is_ten_lines() -> None:
    lines = path_of("overlays", "example", "research", "kustomization.yaml").read_text().splitlines()
    (deployment,) = of_kind(built("overlays/example/research"), "Deployment")

    assert len(lines) <= 10
    assert deployment["metadata"]["name"] == "pool-research"
    assert deployment["metadata"]["annotations"] == {"holdfast/runtimes": "langgraph"}


def test_agents_are_kept_from_the_database_and_from_the_cluster() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(built("base"), "NetworkPolicy")}
    reach = policies["database"]["podSelector"]["matchExpressions"][0]["values"]
    ranges = policies["providers"]["egress"][0]["to"][0]["ipBlock"]["except"]

    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert "pool" not in reach
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(ranges)
    for pod in pods(built("pools/default")):
        assert "database" not in json.dumps(pod)


def test_every_pod_may_reach_the_collector_that_its_traces_go_to() -> None:
    objects = built("overlays/autoscaled")
    variables = settings_of(objects)
    collector = urlsplit(variables["OTEL_EXPORTER_OTLP_ENDPOINT"])
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")}
    ((way,), (reached,)) = policies["collector"]["egress"][0]["ports"], policies["collector"]["egress"][0]["to"]
    allowed = set(policies["collector"]["podSelector"]["matchExpressions"][0]["values"])
    tracing = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in pods(objects)
        if {"configMapRef": {"name": configured(objects)}} in pod["spec"]["containers"][0]["envFrom"]
    }

    assert read_tracing(variables).exporters == (Exporter.OTLP,)
    assert (collector.port, way["protocol"]) == (way["port"], "TCP")
    assert collector.hostname == "opentelemetry-collector.monitoring"
    assert reached["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert allowed == tracing - {"migrate"}
    assert "collector" not in {each["metadata"]["name"] for each in of_kind(built("base"), "NetworkPolicy")}


def configured(objects: Sequence[Object]) -> str:
    """The name of the ConfigMap of settings."""
    (config,) = of_kind(objects, "ConfigMap")
    return config["metadata"]["name"]


def test_all_workloads_are_looked_at() -> None:
    kinds = {each["kind"] for path in DIRECTORIES for each in built(path) if "template" in each.get("spec", {})}

    assert kinds == set(WORKLOADS)
