"""What docs/kubernetes.md has one type leads to the objects that there are; without a cluster, nothing is sent."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import yaml

from control_plane.local.temporal import SEARCH_ATTRIBUTES
from tests.deploy.manifests import KUBECTL, Object, built, name_of, needs_kubectl, of_kind, pods
from tests.docs.markdown import Document

PAGE = Document("docs/kubernetes.md")
#: What kubectl calls kinds, in short and whole.
KINDS = {"deploy": "Deployment", "deployment": "Deployment", "service": "Service", "job": "Job"}
pytestmark = needs_kubectl


def kubectl_lines() -> Iterator[list[str]]:
    """The words of each command for kubectl, without the namespace."""
    for line in PAGE.blocks("sh").replace("\\\n", " ").splitlines():
        words = shlex.split(line.removesuffix("&"), comments=True)
        if words[:1] == ["kubectl"]:
            yield words[3:] if words[1] == "-n" else words[1:]


def created(words: Sequence[str]) -> Object:
    """What `kubectl create` would send."""
    assert KUBECTL is not None
    ran = subprocess.run(
        [KUBECTL, *words, "--dry-run=client", "--output=yaml"], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return yaml.safe_load(ran.stdout)


def mounted(pod: Object) -> Iterator[str]:
    """The Secrets that a pod mounts."""
    for volume in pod["spec"]["volumes"]:
        if "secret" in volume:
            yield volume["secret"]["secretName"]
        yield from (each["secret"]["name"] for each in volume.get("projected", {}).get("sources", ()))


def test_what_is_created_by_hand_is_what_the_pods_ask_for() -> None:
    objects = [created(words) for words in kubectl_lines() if words[0] == "create"]
    asked = {name for pod in pods(built("overlays/example")) for name in mounted(pod)}

    for each in objects:
        kubernetes_validate.validate(each, "1.37", strict=True)
    assert {each["metadata"]["name"] for each in of_kind(objects, "Secret")} == asked
    assert [name_of(each) for each in of_kind(objects, "Namespace")] == ["Namespace/holdfast"]


def test_commands_name_objects_that_there_are() -> None:
    there = {name_of(each) for each in built("overlays/example")}
    targets = [word.split("/") for words in kubectl_lines() for word in words if re.fullmatch(r"[a-z]+/[a-z-]+", word)]
    ours = [(KINDS[kind], name) for kind, name in targets if kind in KINDS and name != "temporal-admintools"]

    assert {f"{kind}/{name}" for kind, name in ours} == {"Deployment/control-plane", "Service/control-plane"}
    assert {f"{kind}/{name}" for kind, name in ours} <= there


def test_the_first_key_is_reached_before_the_next_one_is_made() -> None:
    script = PAGE.blocks("sh")
    steps = ("wait --for", "migrate --first-key", "port-forward service/control-plane", "holdfast keys create")

    assert sorted(steps, key=script.index) == list(steps)


def test_temporal_gets_the_search_attributes_that_are_needed() -> None:
    assert tuple(re.findall(r"--name (\w+) --type Keyword", PAGE.blocks("sh"))) == SEARCH_ATTRIBUTES


def test_the_migration_knows_the_user_that_the_page_makes_for_the_api() -> None:
    users = re.findall(r"CREATE ROLE (\w+) LOGIN", PAGE.blocks("sql"))
    urls = dict(re.findall(r"generic (\S+) --from-literal database_url=postgresql://(\w+):", PAGE.blocks("sh")))
    (config,) = of_kind(built("overlays/example"), "ConfigMap")

    assert urls == {"holdfast-database-owner": users[0], "holdfast-database": users[1]}
    assert config["data"]["HOLDFAST_DATABASE_API_USER"] == users[1]
